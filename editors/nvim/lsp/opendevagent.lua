-- The configuration that `vim.lsp.enable('opendevagent')` finds on Neovim 0.11 and later.
return require('opendevagent.config').lsp()
