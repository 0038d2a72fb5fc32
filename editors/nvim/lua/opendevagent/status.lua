-- The server's state in few words: for the statusline, and echoed while work is going on.
local client = require('opendevagent.client')
local config = require('opendevagent.config')

local M = {}

---@class opendevagent.Known  what one client was told by its server
---@field status? opendevagent.Status
---@field progress table<string|integer, { title?: string, message?: string, percentage?: integer }>

---@type table<integer, opendevagent.Known>
local known = vim.defaulttable(function()
  return { progress = {} }
end)

--- Handles `opendevagent/status`; a new problem is told once, with its remedy.
---@param status opendevagent.Status
function M.on_status(_, status, context)
  local state = known[context.client_id]
  local before = state.status
  state.status = status
  if status.state == 'problem' and not (before and before.message == status.message) then
    local remedy = status.remedy and ('; ' .. status.remedy) or ''
    client.tell(status.message .. remedy, vim.log.levels.WARN)
  end
  vim.cmd.redrawstatus({ bang = true })
end

local function words(value)
  local percentage = value.percentage and ('%d %%'):format(value.percentage) or ''
  local text = ('%s %s %s'):format(value.title or '', value.message or '', percentage)
  return vim.trim((text:gsub('%s+', ' ')))
end

local function on_progress(event)
  local server = vim.lsp.get_client_by_id(event.data.client_id)
  if not server or server.name ~= config.name then
    return
  end
  local progress, token = known[server.id].progress, event.data.params.token
  local value = event.data.params.value
  -- Only the first message of a progress has its title.
  value = vim.tbl_extend('keep', value, { title = vim.tbl_get(progress, token, 'title') })
  progress[token] = value.kind ~= 'end' and value or nil
  -- A longer text would make Neovim ask for Enter.
  local text = vim.fn.strcharpart(words(value), 0, vim.v.echospace)
  vim.api.nvim_echo({ { text } }, false, {})
  vim.cmd.redrawstatus({ bang = true })
end

--- Begins to listen to the progress of our servers.
function M.follow_progress()
  local group = vim.api.nvim_create_augroup('opendevagent_status', { clear = true })
  vim.api.nvim_create_autocmd('LspProgress', { group = group, callback = on_progress })
end

--- Forgets a server that went away.
---@param client_id integer
function M.forget(client_id)
  known[client_id] = nil
end

--- What to show in a statusline: the work going on, else a problem, else nothing.
---@return string
function M.statusline()
  for _, server in ipairs(client.all()) do
    local _, going_on = next(known[server.id].progress)
    if going_on then
      return words(going_on)
    end
  end
  for _, server in ipairs(client.all()) do
    local status = known[server.id].status
    if status and status.state == 'problem' then
      return 'OpenDevAgent: ' .. status.message
    end
  end
  return ''
end

return M
