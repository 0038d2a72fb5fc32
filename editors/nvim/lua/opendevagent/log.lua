-- The log: one buffer that grows as the server reports, and windows that follow its end.
local scratch = require('opendevagent.scratch')

local M = {}

local max_lines = 10000
local indent = '         '

---@type integer?
local bufnr

---@type string?  who spoke last, when the last text was a piece of a speech
local speaking

local function buffer()
  if not (bufnr and vim.api.nvim_buf_is_valid(bufnr)) then
    bufnr = scratch.buffer('log', true)
    vim.bo[bufnr].modifiable = false
  end
  return bufnr
end

--- Changes the buffer, keeps it bounded, and moves the windows that stood at its end.
---@param change fun(target: integer, lines: integer)
local function grow(change)
  local target = buffer()
  local before = vim.api.nvim_buf_line_count(target)
  local following = vim.tbl_filter(function(window)
    return vim.api.nvim_win_get_cursor(window)[1] == before
  end, vim.fn.win_findbuf(target))
  vim.bo[target].modifiable = true
  change(target, before)
  local surplus = vim.api.nvim_buf_line_count(target) - max_lines
  if surplus > 0 then
    vim.api.nvim_buf_set_lines(target, 0, surplus, false, {})
  end
  vim.bo[target].modifiable = false
  for _, window in ipairs(following) do
    vim.api.nvim_win_set_cursor(window, { vim.api.nvim_buf_line_count(target), 0 })
  end
end

--- The lines of a text, all but the first indented.
local function lines_of(text)
  return vim.split(text:gsub('\r', ''):gsub('\n', '\n' .. indent), '\n')
end

--- Adds a text with the time in front; further lines of it are indented below.
---@param text string
function M.append(text)
  speaking = nil
  local lines = lines_of(os.date('%H:%M:%S ') .. vim.trim(text))
  grow(function(target, count)
    local empty = count == 1 and vim.api.nvim_buf_get_lines(target, 0, 1, false)[1] == ''
    vim.api.nvim_buf_set_lines(target, empty and 0 or -1, -1, false, lines)
  end)
end

--- Adds a piece of what someone says; it goes on where their last piece ended.
---@param speaker string
---@param piece string
function M.speak(speaker, piece)
  if speaking ~= speaker then
    M.append(speaker .. ':\n')
    piece, speaking = '\n' .. piece, speaker
  end
  grow(function(target)
    vim.api.nvim_buf_set_text(target, -1, -1, -1, -1, lines_of(piece))
  end)
end

--- Opens the log in a window below, at its end.
function M.open()
  vim.cmd('botright 12split')
  vim.api.nvim_win_set_buf(0, buffer())
  vim.cmd('normal! G')
end

return M
