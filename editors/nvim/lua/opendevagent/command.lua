-- `:[range]OpenDevAgent {verb} [instruction]`.
local client = require('opendevagent.client')

local M = {}

--- An action of the server on the range or the cursor.
---@param verb opendevagent.Action
local function action(verb)
  return function(invocation, instruction)
    local target = require('opendevagent.target')
    local chosen = target.chosen(invocation)
    client.with(chosen.bufnr, function(server)
      local argument = target.arguments(chosen, server.offset_encoding, instruction)
      client.command(server, 'opendevagent.' .. verb, argument)
    end)
  end
end

--- A request about the workspace, its result shown in a scratch window.
---@param method string
---@param title string
---@param render fun(result: any): string[]
local function report(method, title, render)
  return function()
    client.with(vim.api.nvim_get_current_buf(), function(server)
      client.request(server, method, vim.empty_dict(), function(result)
        require('opendevagent.scratch').show(title, render(result))
      end)
    end)
  end
end

--- One line per task, the newest as the server orders them.
local function task_lines(result)
  local lines = {}
  for _, task in ipairs(result.tasks or result) do
    local verdict = task.verdict and task.verdict.level or ''
    local columns = { task.task or '', task.action or '', task.phase or '', verdict }
    table.insert(lines, vim.trim(('%-36s  %-8s  %-10s  %s'):format(unpack(columns))))
  end
  return #lines > 0 and lines or { 'no tasks yet' }
end

--- One line per check of the doctor, its remedy below it.
local function doctor_lines(result)
  local lines = {}
  for _, check in ipairs(result.checks or result) do
    local sign = check.ok and '✓' or '✗'
    table.insert(lines, ('%s %s: %s'):format(sign, check.name or '', check.message or ''))
    if check.remedy then
      table.insert(lines, '    ' .. check.remedy)
    end
  end
  return lines
end

local verbs = {
  plan = action('plan'),
  generate = action('generate'),
  fix = action('fix'),
  tests = action('tests'),
  review = action('review'),
  explain = action('explain'),
  run = action('run'),
  cancel = function()
    require('opendevagent.tasks').cancel()
  end,
  tasks = report('opendevagent/tasks', 'tasks', task_lines),
  log = function()
    require('opendevagent.log').open()
  end,
  key = function()
    require('opendevagent.credentials').enter()
  end,
  doctor = report('opendevagent/doctor', 'doctor', doctor_lines),
}

--- Runs one verb; what follows it is the instruction in free text.
---@param invocation vim.api.keyset.create_user_command.command_args
function M.execute(invocation)
  local verb, rest = invocation.args:match('^(%S+)%s*(.-)%s*$')
  local perform = verbs[verb]
  if not perform then
    local known = table.concat(vim.fn.sort(vim.tbl_keys(verbs)), ', ')
    return client.tell(
      ('there is no "%s"; choose from %s'):format(verb, known),
      vim.log.levels.ERROR
    )
  end
  perform(invocation, rest ~= '' and rest or nil)
end

--- The verbs that begin as typed; nothing once the instruction has begun.
---@param lead string
---@param line string
---@return string[]
function M.complete(lead, line)
  if not line:match('OpenDevAgent%s+%S*$') then
    return {}
  end
  local matching = vim.tbl_filter(function(verb)
    return vim.startswith(verb, lead)
  end, vim.tbl_keys(verbs))
  table.sort(matching)
  return matching
end

return M
