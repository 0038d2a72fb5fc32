-- The tasks in a floating window, which follows them while it is open.
local client = require('opendevagent.client')

local M = {}

--- Tasks of other servers and of before, by what the server calls them.
local origins = { other = 'another editor', earlier = 'earlier' }

local signs = { proven = '✓', passing = '✓', runs = '✓', failing = '✗', unverified = '?' }

---@class opendevagent.List
---@field bufnr integer
---@field window integer
---@field told table<integer, table[]>   what each server said of its tasks
---@field rows table[]                   as shown, line by line
---@field due boolean                    a question to the servers is due

---@type opendevagent.List?
local list

local function cell(text, width)
  local cut = vim.fn.strcharpart(text, 0, width)
  return cut .. (' '):rep(width - vim.fn.strdisplaywidth(cut))
end

--- One task in one line.
local function line_of(row)
  local level = row.verdict and row.verdict.level
  local running = row.percent and row.percent < 100
  local state = running and ('%s %d %%'):format(row.phase, row.percent) or level or row.phase
  local sign = running and '…' or signs[level] or ' '
  local cost = row.cost and row.cost > 0 and ('$%.4f'):format(row.cost) or ''
  local title = row.title or row.action or row.task
  return vim.trim(
    ('%s %s %s %s %s'):format(
      sign,
      cell(title, 40),
      cell(state, 18),
      cell(cost, 8),
      row.offer and 'a: apply' or origins[row.server] or ''
    )
  )
end

--- All tasks, the newest first: their ids begin with the time.
local function rows_of(told)
  ---@type table<string, table>
  local known = {}
  for _, server in ipairs(client.all()) do
    for _, row in ipairs(told[server.id] or {}) do
      local task = require('opendevagent.tasks').known(row.task)
      local ours = { client_id = server.id, cost = task and task.cost or row.cost_usd }
      -- Another server here may tell of the same task, but can do less with it.
      if not known[row.task] or not origins[row.server] then
        known[row.task] = vim.tbl_extend('keep', ours, row)
      end
    end
  end
  local rows = vim.tbl_values(known)
  table.sort(rows, function(a, b)
    return a.task > b.task
  end)
  return rows
end

local function render()
  if not list then
    return
  end
  list.rows = rows_of(list.told)
  local lines = vim.tbl_map(line_of, list.rows)
  vim.bo[list.bufnr].modifiable = true
  vim.api.nvim_buf_set_lines(list.bufnr, 0, -1, false, #lines > 0 and lines or { 'no tasks yet' })
  vim.bo[list.bufnr].modifiable = false
  local height = math.min(math.max(#lines, 1), math.max(vim.o.lines - 6, 1))
  vim.api.nvim_win_set_height(list.window, height)
end

--- Asks every server for its tasks and shows them, a moment later: events come in bursts.
local function refresh()
  if not list or list.due then
    return
  end
  local mine = list
  mine.due = true
  vim.defer_fn(function()
    mine.due = false
    for _, server in ipairs(list == mine and client.all() or {}) do
      client.request(server, 'opendevagent/tasks', vim.empty_dict(), function(result)
        mine.told[server.id] = result
        if list == mine then
          render()
        end
      end)
    end
  end, 50)
end

function M.close()
  if list and vim.api.nvim_win_is_valid(list.window) then
    vim.api.nvim_win_close(list.window, true)
  end
  list = nil
end

--- Sends a command about the task under the cursor. A document must not open in the float.
local function act(command, closes)
  return function()
    local row = list and list.rows[vim.api.nvim_win_get_cursor(list.window)[1]]
    local server = row and vim.lsp.get_client_by_id(row.client_id)
    if not row or not server then
      return
    end
    if closes then
      M.close()
    end
    client.command(server, 'opendevagent.' .. command, { task = row.task }, refresh)
  end
end

local keys = {
  { 'a', 'apply', act('apply') },
  { 'd', 'diff', act('showDiff', true) },
  { 'x', 'discard', act('discard') },
  { 'c', 'cancel', act('cancel') },
  { 'p', 'plan', act('showPlan', true) },
  { '<CR>', 'log', act('showLog', true) },
  { 'q', 'close', M.close },
}

local function open_window(bufnr)
  local hints = vim.tbl_map(function(key)
    return key[1] .. ' ' .. key[2]
  end, keys)
  local width = math.min(84, math.max(vim.o.columns - 4, 20))
  local window = vim.api.nvim_open_win(bufnr, true, {
    relative = 'editor',
    width = width,
    height = 1,
    row = 2,
    col = math.floor((vim.o.columns - width) / 2),
    style = 'minimal',
    border = 'rounded',
    title = ' OpenDevAgent tasks ',
    footer = ' ' .. table.concat(hints, '  ') .. ' ',
  })
  vim.wo[window].cursorline = true
  vim.wo[window].wrap = false
  return window
end

--- Opens the window, or goes to the open one.
function M.open()
  if list and vim.api.nvim_win_is_valid(list.window) then
    return vim.api.nvim_set_current_win(list.window)
  end
  local bufnr = require('opendevagent.scratch').buffer('tasks')
  list = { bufnr = bufnr, window = open_window(bufnr), told = {}, rows = {}, due = false }
  for _, key in ipairs(keys) do
    local options = { buffer = bufnr, nowait = true, desc = 'OpenDevAgent: ' .. key[2] }
    vim.keymap.set('n', key[1], key[3], options)
  end
  local group = vim.api.nvim_create_augroup('opendevagent_list', { clear = true })
  vim.api.nvim_create_autocmd('User', {
    group = group,
    pattern = 'OpenDevAgentEvent',
    callback = function(event)
      -- Pieces of an answer change nothing here.
      if event.data.kind ~= 'said' then
        refresh()
      end
    end,
  })
  vim.api.nvim_create_autocmd('BufWipeout', {
    group = group,
    buffer = bufnr,
    callback = function()
      list = nil
      vim.api.nvim_del_augroup_by_id(group)
    end,
  })
  render()
  refresh()
end

return M
