"""A user of Neovim with the plugin installed as its README says: fix, look at the diff, apply, save.

neovim.py NVIM FILE, with `opendevagent` on PATH and the plugin in HOME.
"""

import sys

from terminal import Terminal

terminal = Terminal(sys.argv[1:])
terminal.wait_for("def mean")
terminal.press(":OpenDevAgent fix\r")
terminal.wait_for("a apply  q discard")
terminal.wait_for("len(numbers)")
terminal.keep("neovim-review")
terminal.press("a")
terminal.wait(lambda: "apply" not in terminal.text() and "len(numbers)" in terminal.text(), "the applied fix")
terminal.press(":OpenDevAgent tasks\r")
terminal.wait_for("proven")
terminal.keep("neovim-tasks")
terminal.press("q:wqa\r")
sys.exit(terminal.ended())
