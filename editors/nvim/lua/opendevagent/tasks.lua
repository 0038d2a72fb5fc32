-- What the server says about its tasks: kept for `cancel` and the list, written to the log, passed
-- on to users as the autocommand `User OpenDevAgentEvent`.
local client = require('opendevagent.client')
local log = require('opendevagent.log')

local M = {}

---@type table<string, opendevagent.Task>  the running ones, and the last that ended
local known = {}
local max_ended = 100

local function count(tests)
  return tests and (', %d of %d tests passed'):format(tests.passed, tests.run) or ''
end

--- How each kind of event reads in the log.
---@type table<string, fun(event: opendevagent.Event): string>
local wording = {
  started = function(event)
    return ('started %s: %s'):format(event.action or '', event.title or '')
  end,
  phase = function(event)
    return ('%s (%d %%)'):format(event.phase, event.percent or 0)
  end,
  ran = function(event)
    local code = event.exit_code and (', exit code %d'):format(event.exit_code) or ''
    local stage = event.stage and (event.stage .. ' the edit: ') or ''
    return ('ran %s%s%s%s'):format(stage, event.status or '', code, count(event.tests))
  end,
  found = function(event)
    local lines = {}
    for _, finding in ipairs(event.findings or {}) do
      local path = finding.path or event.path or ''
      table.insert(lines, ('%s:%d: %s'):format(path, finding.line or 0, finding.message or ''))
    end
    return ('found %d:\n%s'):format(#lines, table.concat(lines, '\n'))
  end,
  usage = function(event)
    local usage = event.usage or {}
    local prompt, completion = usage.prompt_tokens or 0, usage.completion_tokens or 0
    return ('usage: %d + %d tokens, $%.4f'):format(prompt, completion, usage.cost_usd or 0)
  end,
  waiting = function(event)
    return ('waiting for the %s, %d s'):format(event.agent, event.seconds)
  end,
  noted = function(event)
    return event.text or ''
  end,
  ended = function(event)
    local verdict = event.verdict
    local judged = verdict and (', %s: %s'):format(verdict.level, verdict.reason or '') or ''
    local message = event.message and ('. ' .. event.message) or ''
    return ('ended %s%s%s'):format(event.phase or '', judged, message)
  end,
}

--- Forgets the oldest of those that ended; their ids begin with the time.
local function forget_oldest()
  local ended = vim.tbl_filter(function(id)
    return known[id].ended
  end, vim.tbl_keys(known))
  table.sort(ended)
  for index = 1, #ended - max_ended do
    known[ended[index]] = nil
  end
end

--- Takes over what an event says about its task.
---@return opendevagent.Task?
local function learn(event, client_id)
  if event.kind == 'started' then
    known[event.task] = {
      id = event.task,
      client_id = client_id,
      action = event.action,
      title = event.title or event.action or event.task,
      ended = false,
    }
    forget_oldest()
  end
  local task = known[event.task]
  if task and event.kind == 'usage' then
    task.cost = vim.tbl_get(event, 'usage', 'cost_usd')
  elseif task and event.kind == 'ended' then
    task.ended = true
  end
  return task
end

--- Handles `opendevagent/event`. A kind we do not know is logged by its name.
---@param event opendevagent.Event
function M.on_event(_, event, context)
  local task = learn(event, context.client_id)
  if event.kind == 'said' then
    log.speak(task and ('%s (%s)'):format(event.agent, task.title) or event.agent, event.text)
  else
    local words = wording[event.kind]
    log.append(words and words(event) or event.kind)
  end
  require('opendevagent.findings').on_event(event, task)
  vim.api.nvim_exec_autocmds('User', { pattern = 'OpenDevAgentEvent', data = event })
end

--- What is known here about a task.
---@param id string
---@return opendevagent.Task?
function M.known(id)
  return known[id]
end

--- The tasks of a server that went away are no longer running.
---@param client_id integer
function M.forget(client_id)
  for id, task in pairs(known) do
    if task.client_id == client_id then
      known[id] = nil
    end
  end
end

--- Cancels the running task, asking which when there are several.
function M.cancel()
  local tasks = vim.tbl_filter(function(task)
    return not task.ended
  end, vim.tbl_values(known))
  if #tasks == 0 then
    return client.tell('no task is running')
  end
  local function stop(task)
    local server = task and vim.lsp.get_client_by_id(task.client_id)
    if server then
      client.command(server, 'opendevagent.cancel', { task = task.id })
    end
  end
  if #tasks == 1 then
    return stop(tasks[1])
  end
  table.sort(tasks, function(a, b)
    return a.id < b.id
  end)
  vim.ui.select(tasks, {
    prompt = 'Cancel which task?',
    format_item = function(task)
      return task.title
    end,
  }, stop)
end

return M
