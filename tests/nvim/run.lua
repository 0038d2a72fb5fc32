-- busted in this Neovim, the client on its runtime path and loaded as a user has it.
local here = vim.fs.dirname(vim.fn.fnamemodify(debug.getinfo(1, 'S').source:sub(2), ':p'))
vim.opt.runtimepath:prepend(vim.fs.normalize(here .. '/../../editors/nvim'))
vim.cmd('runtime plugin/opendevagent.lua | filetype plugin indent on')
vim.g.opendevagent = { cmd = { 'python3', here .. '/server.py' } }
require('busted.runner')({ standalone = false })
