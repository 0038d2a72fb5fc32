"""A user of Emacs in a terminal, with eglot: run the file, fix what it said, apply the proposal, save.

eglot.py FILE EMACS ARGUMENT…, with `opendevagent` on PATH and eglot's settings in HOME.
"""

import os
import sys

from terminal import Terminal

ENTER, META, QUIT = "\r", "\x1b", "\x07"


def command(name):
    terminal.press(META + "x" + name + ENTER)
    terminal.settle()


def choose(title):
    """Opens the list of code actions and takes one, as soon as it is offered."""
    while True:
        command("eglot-code-actions")
        terminal.press("?")
        terminal.settle()
        if title in terminal.text():
            break
        terminal.press(QUIT)
        terminal.settle()
    terminal.keep("eglot-" + title.split(":")[0].lower())
    terminal.press(title + ENTER)
    terminal.settle()


file, *emacs = sys.argv[1:]
terminal = Terminal([*emacs, "-nw", "-q", "--load", os.path.expanduser("~/.emacs.d/init.el"), file])
terminal.wait_for("def mean")
command("eglot")
terminal.wait_for("Connected!")
choose("Run in sandbox")
terminal.wait_for("Flymake[1")
command("flymake-goto-next-error")
terminal.wait_for("NameError")
choose("Fix: NameError")
# eglot does not say that it can ask, so the proposal waits among the actions.
choose("Apply: ")
terminal.wait_for("len(numbers)")
terminal.keep("eglot-applied")
terminal.press("\x18\x13\x18\x03")
sys.exit(terminal.ended())
