-- The public functions; see :help opendevagent-lua.
local M = {}

--- Attaches the server to every file of a known language, from now on.
--- On Neovim 0.11 and later the same as `vim.lsp.enable('opendevagent')`.
function M.enable()
  if vim.lsp.enable then
    return vim.lsp.enable('opendevagent')
  end
  local client = require('opendevagent.client')
  vim.api.nvim_create_autocmd('FileType', {
    group = vim.api.nvim_create_augroup('opendevagent_enable', { clear = true }),
    pattern = require('opendevagent.config').lsp().filetypes,
    callback = function(event)
      if vim.bo[event.buf].buftype == '' then
        client.start(event.buf)
      end
    end,
  })
end

--- For a statusline: the work going on, else a problem, else nothing.
---@return string
function M.statusline()
  return require('opendevagent.status').statusline()
end

return M
