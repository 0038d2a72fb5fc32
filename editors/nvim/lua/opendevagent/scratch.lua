-- Buffers of ours that belong to no file.
local M = {}

--- A new buffer, wiped when its last window closes unless `keep` is set.
---@param name string
---@param keep boolean?
---@return integer bufnr
function M.buffer(name, keep)
  local bufnr = vim.api.nvim_create_buf(false, true)
  vim.bo[bufnr].bufhidden = keep and 'hide' or 'wipe'
  -- A name already in use leaves the buffer without one, which does no harm.
  pcall(vim.api.nvim_buf_set_name, bufnr, 'opendevagent://' .. name)
  return bufnr
end

--- Shows lines in a window below, closed by q.
---@param title string
---@param lines string[]
function M.show(title, lines)
  local bufnr = M.buffer(title)
  vim.api.nvim_buf_set_lines(bufnr, 0, -1, false, lines)
  vim.bo[bufnr].modifiable = false
  vim.keymap.set('n', 'q', '<Cmd>close<CR>', { buffer = bufnr, desc = 'Close' })
  vim.cmd('botright ' .. math.min(math.max(#lines, 3), 15) .. 'split')
  vim.api.nvim_win_set_buf(0, bufnr)
end

return M
