"""A user of Neovim 0.12 who has switched inline completion on, without our plugin: what is written in grey where the user
pauses is taken over with a key.

completion.py NVIM FILE, with `opendevagent` on PATH.
"""

import os
import sys

from terminal import Terminal

nvim, file = sys.argv[1:]
config = os.path.join(os.environ["HOME"], ".config/nvim")
os.makedirs(config)
with open(os.path.join(config, "init.lua"), "w") as init:
    init.write(
        """
        vim.lsp.config('opendevagent', {
          cmd = { 'opendevagent' },
          filetypes = { 'python' },
          root_markers = { 'mean.py' },
          init_options = { settings = { inline = { completion = true }, sandbox = { host = 'off' } } },
        })
        vim.lsp.enable('opendevagent')
        vim.api.nvim_create_autocmd('LspAttach', {
          callback = function()
            vim.lsp.inline_completion.enable()
            vim.keymap.set('i', '<C-g>', function() vim.lsp.inline_completion.get() end)
            print('attached')
          end,
        })
        """
    )

terminal = Terminal([nvim, file])
terminal.wait_for("attached")
terminal.press("Go")
terminal.press("x")
terminal.wait_for("xanswer = 42")
terminal.keep("neovim-completion")
terminal.press("\x07")
# It is taken over a moment later.
terminal.settle()
terminal.press("\x1b:wqa\r")
sys.exit(terminal.ended())
