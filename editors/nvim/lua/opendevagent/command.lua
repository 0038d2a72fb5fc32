-- `:[range]OpenDevAgent [{verb} [instruction]]`.
local client = require('opendevagent.client')

local M = {}

--- Starts an action of the server.
---@param verb opendevagent.Action
---@param chosen opendevagent.Target
---@param more table  further arguments
local function start(verb, chosen, more)
  client.with(chosen.bufnr, function(server)
    local arguments = require('opendevagent.target').arguments(chosen, server)
    client.command(server, 'opendevagent.' .. verb, vim.tbl_extend('error', arguments, more))
  end)
end

--- An action on the range or the cursor.
---@param verb opendevagent.Action
local function action(verb)
  return function(invocation, instruction)
    start(verb, require('opendevagent.target').chosen(invocation), { instruction = instruction })
  end
end

--- Asks for everything.
local function wizard(invocation)
  local target = require('opendevagent.target')
  local chosen = target.chosen(invocation)
  require('opendevagent.wizard').open(chosen, function(answers)
    start(answers.verb, target.of(answers.scope or 'here', chosen), {
      instruction = answers.instruction,
      language = answers.language,
      framework = answers.framework,
      check = answers.check,
      budget = answers.budget,
    })
  end)
end

--- A request about the workspace, its result shown in a scratch window.
---@param method string
---@param title string
---@param render fun(result: any): string[]
local function report(method, title, render)
  return function()
    client.any(function(server)
      client.request(server, method, vim.empty_dict(), function(result)
        require('opendevagent.scratch').show(title, render(result))
      end)
    end)
  end
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
  tasks = function()
    client.any(function()
      require('opendevagent.list').open()
    end)
  end,
  dashboard = function()
    client.any(function(server)
      client.command(server, 'opendevagent.dashboard', vim.empty_dict())
    end)
  end,
  log = function()
    require('opendevagent.log').open()
  end,
  key = function()
    require('opendevagent.credentials').enter()
  end,
  doctor = report('opendevagent/doctor', 'doctor', doctor_lines),
}

--- Runs one verb; what follows it is the instruction in free text. Without a verb all is asked for.
---@param invocation vim.api.keyset.create_user_command.command_args
function M.execute(invocation)
  local verb, rest = invocation.args:match('^(%S+)%s*(.-)%s*$')
  if not verb then
    return wizard(invocation)
  end
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
