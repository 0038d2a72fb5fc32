"""A user of Neovim with the plugin installed as its README says: fix, look at the diff, apply, save.

neovim.py NVIM PLUGIN FILE, with `opendevagent` on PATH.
"""

import os
import sys

from terminal import Terminal

nvim, plugin, file = sys.argv[1:]
start = os.path.join(os.environ["HOME"], ".local/share/nvim/site/pack/opendevagent/start")
os.makedirs(start)
os.symlink(plugin, os.path.join(start, "opendevagent"))

terminal = Terminal([nvim, file])
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
