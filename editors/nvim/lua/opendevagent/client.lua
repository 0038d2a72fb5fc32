-- Finding, starting and talking to the server, alike on Neovim 0.10 and later.
local config = require('opendevagent.config')

local M = {}

--- Commands that wait for a server to be attached.
local waiting = vim.api.nvim_create_augroup('opendevagent_waiting', { clear = true })

--- The client attached to a buffer.
---@param bufnr integer
---@return vim.lsp.Client?
function M.attached(bufnr)
  return vim.lsp.get_clients({ name = config.name, bufnr = bufnr })[1]
end

--- All clients, attached or not.
---@return vim.lsp.Client[]
function M.all()
  return vim.lsp.get_clients({ name = config.name })
end

--- The configuration, the user's `vim.lsp.config('opendevagent', …)` over it where that exists.
local function resolved()
  return vim.lsp.config and vim.deepcopy(vim.lsp.config[config.name]) or config.lsp()
end

--- Starts (or reuses) the server for a buffer. Returns nil and tells the user when it cannot start.
---@param bufnr integer
---@return integer? client_id
function M.start(bufnr)
  local ok, configuration = pcall(resolved)
  if not ok then
    M.tell(tostring(configuration), vim.log.levels.ERROR)
    return nil
  end
  local cmd = configuration.cmd
  if type(cmd) == 'table' and vim.fn.executable(cmd[1]) == 0 then
    local how =
      'put it on PATH or set vim.g.opendevagent = { cmd = { "/path/to/opendevagent", "lsp" } }'
    M.tell(('the server "%s" was not found; %s'):format(cmd[1], how), vim.log.levels.ERROR)
    return nil
  end
  if type(configuration.root_dir) == 'function' then
    configuration.root_dir(bufnr, function(directory)
      configuration.root_dir = directory
    end)
  end
  return vim.lsp.start(configuration, { bufnr = bufnr })
end

--- Calls back with the buffer's client, starting it first if need be.
---@param bufnr integer
---@param callback fun(client: vim.lsp.Client)
function M.with(bufnr, callback)
  local client = M.attached(bufnr)
  if client then
    return callback(client)
  end
  if vim.bo[bufnr].buftype ~= '' or vim.api.nvim_buf_get_name(bufnr) == '' then
    return M.tell('this buffer is no file; save it under a name first', vim.log.levels.WARN)
  end
  vim.api.nvim_create_autocmd('LspAttach', {
    group = waiting,
    buffer = bufnr,
    callback = function(event)
      local arrived = vim.lsp.get_client_by_id(event.data.client_id)
      if arrived and arrived.name == config.name then
        callback(arrived)
        return true
      end
    end,
  })
  if not M.start(bufnr) then
    M.forget_waiting()
  end
end

--- Drops the commands that wait: the server they waited for will not come.
function M.forget_waiting()
  vim.api.nvim_clear_autocmds({ group = waiting })
end

--- Sends a request and hands over its result; an error is shown to the user instead.
---@param client vim.lsp.Client
---@param method string
---@param params table?
---@param callback fun(result: any)?
function M.request(client, method, params, callback)
  local function on_answer(err, result)
    if err then
      M.tell(err.message or tostring(err), vim.log.levels.ERROR)
    elseif callback then
      callback(result)
    end
  end
  if vim.fn.has('nvim-0.11') == 1 then
    client:request(method, params, on_answer)
  else
    client.request(method, params, on_answer)
  end
end

--- Runs a command of the server, for example `opendevagent.fix`.
---@param client vim.lsp.Client
---@param command string
---@param argument table?
---@param callback fun(result: any)?
function M.command(client, command, argument, callback)
  local params = { command = command, arguments = { argument } }
  M.request(client, 'workspace/executeCommand', params, callback)
end

--- Calls back with a client: the buffer's, else one that runs, else a new one for the buffer.
---@param callback fun(client: vim.lsp.Client)
function M.any(callback)
  local bufnr = vim.api.nvim_get_current_buf()
  local client = M.attached(bufnr) or M.all()[1]
  if client then
    return callback(client)
  end
  M.with(bufnr, callback)
end

local levels = { vim.log.levels.ERROR, vim.log.levels.WARN }

--- Handles `window/showMessage` by `vim.notify`, which users' plugins show in their own way.
---@param params lsp.ShowMessageParams
function M.on_message(_, params)
  M.tell(params.message, levels[params.type])
end

--- Shows one message under our name.
---@param message string
---@param level integer?
function M.tell(message, level)
  vim.notify(
    'OpenDevAgent: ' .. message:gsub('^OpenDevAgent:? ', ''),
    level or vim.log.levels.INFO,
    { title = 'OpenDevAgent' }
  )
end

return M
