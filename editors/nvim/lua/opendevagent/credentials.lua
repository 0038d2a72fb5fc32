-- The key of the model, held in memory only: never written, logged, or put into a setting.
local client = require('opendevagent.client')

local M = {}

---@type string?  what the user entered in this session
local entered

---@type table<integer, table<string, true>>  keys each client was given
local given = vim.defaulttable(function()
  return {}
end)

---@type thread[]?  requests that wait for the prompt that is open
local waiting

--- Asks without echo; nil when the user gives none.
---@return string?
local function prompt()
  vim.fn.inputsave()
  local ok, typed =
    pcall(vim.fn.inputsecret, 'OpenDevAgent: key of the model (kept in memory only): ')
  vim.fn.inputrestore()
  vim.cmd.redraw()
  local key = ok and vim.trim(typed) or ''
  return key ~= '' and key or nil
end

--- The environment variable that the settings name for the key.
---@return string
function M.variable()
  local ok, options = pcall(require('opendevagent.config').options)
  return ok and vim.tbl_get(options.settings, 'model', 'keyEnv') or 'OPENROUTER_API_KEY'
end

--- Where a key would come from now, without its value.
---@return 'memory'|'environment'|nil
function M.source()
  return entered and 'memory' or vim.env[M.variable()] and 'environment' or nil
end

--- One prompt for all who ask while it is open.
---@return string?
local function prompt_once()
  if waiting then
    -- Neovim 0.12 returns a second value here.
    table.insert(waiting, (coroutine.running()))
    return coroutine.yield()
  end
  local others = {}
  waiting = others
  local key = prompt()
  entered, waiting = key or entered, nil
  for _, thread in ipairs(others) do
    coroutine.resume(thread, key)
  end
  return key
end

--- Handles `opendevagent/credentials`. A server that asks again was refused with what it got, so no
--- key is offered to the same server twice unless the user types it again. Where a key is optional,
--- nobody is asked for one.
function M.on_request(_, params, context)
  local offered = given[context.client_id]
  local function fresh(key)
    return key and not offered[key] and key or nil
  end
  local key = fresh(entered) or fresh(vim.env[M.variable()])
  if not key and not (params and params.optional) then
    key = prompt_once()
  end
  if not key then
    return vim.NIL
  end
  offered[key] = true
  return { key = key }
end

--- `:OpenDevAgent key`: asks, hands the key to every server that runs, tells what they say of it.
function M.enter()
  local key = prompt()
  if not key then
    return client.tell('no key entered, nothing changed')
  end
  entered = key
  for _, server in ipairs(client.all()) do
    given[server.id][key] = true
    client.request(server, 'opendevagent/setKey', { key = key }, function(result)
      if result and result.message then
        client.tell(result.message, not result.ok and vim.log.levels.WARN or nil)
      end
    end)
  end
  client.tell('the key is kept in memory until Neovim ends')
end

return M
