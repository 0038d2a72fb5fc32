"""A user of Helix: run the file, fix what it said, apply the proposal, save.

helix.py HELIX FILE, with `opendevagent` on PATH and Helix's settings in HOME.
"""

import os
import sys

from terminal import Terminal

DOWN, ENTER, ESCAPE = "\x1b[B", "\r", "\x1b"


def choose(terminal, title):
    """Opens the menu of code actions and takes one, as soon as it is offered."""
    # A server that has only just been started is not asked yet.
    not_yet = "No configured language server supports code actions"
    while True:
        terminal.press(" a")
        terminal.wait(lambda: chosen(terminal) or not_yet in terminal.text(), f"a menu for {title}")
        terminal.settle()
        if title in terminal.text():
            break
        while chosen(terminal) or not_yet in terminal.text():
            terminal.press(ESCAPE)
            terminal.settle()
    terminal.keep("helix-" + title.split(":")[0].lower())
    while title not in (before := chosen(terminal)):
        terminal.press(DOWN)
        terminal.wait(lambda: chosen(terminal) not in ("", before), "the next entry")
    terminal.press(ENTER)
    terminal.wait(lambda: not chosen(terminal), "the menu to close")


def chosen(terminal):
    """The entry of the menu that is drawn in reverse; nothing while there is none. A cursor is shorter."""
    for row, line in enumerate(terminal.screen.display):
        cells = terminal.screen.buffer[row]
        entry = "".join(line[column] for column in range(len(line)) if cells[column].reverse)
        if len(entry) > 3:
            return entry
    return ""


helix, file = sys.argv[1:]
os.environ["HELIX_RUNTIME"] = os.path.join(os.path.dirname(helix), "runtime")

terminal = Terminal([helix, file])
terminal.wait_for("def mean")
choose(terminal, "Run in sandbox")
terminal.wait_for("●")
terminal.press("2Gx")
terminal.wait_for("NameError")
choose(terminal, "Fix: NameError")
# Helix does not say that it can ask, so the proposal waits among the actions.
choose(terminal, "Apply: ")
terminal.wait_for("len(numbers)")
terminal.press(":wq" + ENTER)
sys.exit(terminal.ended())
