-- A task put together by questions: what, where, in which words, at what cost. Leaving a question
-- (Esc) goes back to the one before; leaving the first ends it.
local M = {}

---@class opendevagent.Answers
---@field verb? opendevagent.Action
---@field scope? opendevagent.Scope
---@field instruction? string
---@field language? string
---@field framework? string
---@field check? string
---@field budget? number          US dollars

---@alias opendevagent.Scope
---| 'here'       the range or the cursor
---| 'file'       the whole file
---| 'workspace'

---@alias opendevagent.Next fun(given: boolean)
---@alias opendevagent.Ask
---| fun(answers: opendevagent.Answers, target: opendevagent.Target, step: opendevagent.Step,
---      next: opendevagent.Next)

---@class opendevagent.Step
---@field field? string          what it answers
---@field verbs? opendevagent.Action[]  the actions it is asked for; default all
---@field ask opendevagent.Ask

local actions = {
  { 'plan', 'Plan: how it could be done; changes nothing' },
  { 'generate', 'Generate: write code' },
  { 'fix', 'Fix: run the check, repair what fails' },
  { 'tests', 'Tests: write tests' },
  { 'review', 'Review: report bugs, risks and bad style' },
  { 'explain', 'Explain' },
  { 'run', 'Run: the file, in the sandbox' },
}

--- A question with choices, each `{ value, words }`.
local function choose(prompt, choices)
  return function(answers, target, step, next)
    local offered = type(choices) == 'function' and choices(answers, target) or choices
    vim.ui.select(offered, {
      prompt = type(prompt) == 'function' and prompt(answers, target) or prompt,
      kind = 'opendevagent',
      format_item = function(choice)
        return choice[2]
      end,
    }, function(choice)
      if choice and step.field then
        answers[step.field] = choice[1]
      end
      next(choice ~= nil)
    end)
  end
end

--- A question for words; none are an answer, too. It is asked again, with the reason in front, for
--- as long as `refuse` gives one.
local function words(prompt, refuse)
  local function ask(answers, target, step, next, reason)
    local question = reason and ('%s. %s'):format(reason, prompt) or prompt
    local before = tostring(answers[step.field] or '')
    vim.ui.input({ prompt = question, default = before }, function(text)
      if not text then
        return next(false)
      end
      answers[step.field] = vim.trim(text) ~= '' and vim.trim(text) or nil
      local wrong = refuse and refuse(answers)
      if wrong then
        return vim.schedule(function()
          ask(answers, target, step, next, wrong)
        end)
      end
      next(true)
    end)
  end
  return ask
end

--- The actions that a whole workspace can be meant by.
local wide = { 'plan', 'generate', 'fix' }

--- The place that the user chose before asking, and what is around it.
local function places(answers, target)
  local lines = ('line %d'):format(target.first + 1)
  if not target.column then
    lines = ('lines %d to %d'):format(target.first + 1, target.last + 1)
  end
  local name = vim.fn.fnamemodify(vim.api.nvim_buf_get_name(target.bufnr), ':t')
  local found = { { 'here', name .. ', ' .. lines }, { 'file', name .. ', the whole file' } }
  if vim.list_contains(wide, answers.verb) then
    local root = require('opendevagent.config').root(target.bufnr)
    table.insert(found, { 'workspace', 'the whole workspace, ' .. vim.fs.basename(root) })
  end
  return found
end

--- Why an instruction is asked for again: the workspace alone says nothing.
local function missing(answers)
  local silent = answers.scope == 'workspace' and answers.verb ~= 'fix'
  return silent and not answers.instruction and 'The workspace alone does not say it' or nil
end

--- Takes the budget as a number; why it is asked for again.
local function no_sum(answers)
  local typed = answers.budget
  answers.budget = typed and tonumber((typed:gsub('^%$%s*', ''):gsub(',', '.')))
  local good = not typed or (answers.budget and answers.budget > 0 and answers.budget < math.huge)
  answers.budget = good and answers.budget or nil
  return not good and ('"%s" is no sum'):format(typed) or nil
end

--- What was answered, in one line.
local function summary(answers, target)
  local parts = { answers.verb }
  for _, place in ipairs(places(answers, target)) do
    if place[1] == (answers.scope or 'here') then
      parts[1] = ('%s (%s)'):format(answers.verb, place[2])
    end
  end
  for _, field in ipairs({ 'instruction', 'language', 'framework', 'check' }) do
    table.insert(parts, answers[field] and ('%s: %s'):format(field, answers[field]))
  end
  table.insert(parts, answers.budget and ('at most $%.2f'):format(answers.budget))
  return table.concat(parts, '; ')
end

local models = { 'plan', 'generate', 'fix', 'tests', 'review', 'explain' }

---@type opendevagent.Step[]
local steps = {
  { field = 'verb', ask = choose('OpenDevAgent: what?', actions) },
  { field = 'scope', verbs = models, ask = choose('Where?', places) },
  {
    field = 'instruction',
    verbs = models,
    ask = words('In your words (may be empty): ', missing),
  },
  {
    field = 'language',
    verbs = { 'generate', 'run' },
    ask = words('Language (empty: as the file): '),
  },
  {
    field = 'framework',
    verbs = { 'generate', 'tests' },
    ask = words('Framework (empty: as the project): '),
  },
  {
    field = 'check',
    verbs = { 'generate', 'fix', 'tests' },
    ask = words('Check, a shell command (empty: as the project): '),
  },
  {
    field = 'budget',
    verbs = models,
    ask = words('At most, in US dollars (empty: as the settings): ', no_sum),
  },
  { ask = choose(summary, { { true, 'Start' } }) },
}

--- Asks one question after the other, then calls back.
---@param target opendevagent.Target
---@param start fun(answers: opendevagent.Answers)
function M.open(target, start)
  local answers = {}
  local function at(index, direction)
    local step = steps[index]
    if not step then
      return index > #steps and start(answers) or nil
    end
    if step.verbs and not vim.list_contains(step.verbs, answers.verb) then
      -- It may have been answered for an action that was chosen before.
      answers[step.field] = nil
      return at(index + direction, direction)
    end
    step.ask(answers, target, step, function(given)
      local way = given and 1 or -1
      -- Pickers close their window after the call.
      vim.schedule(function()
        at(index + way, way)
      end)
    end)
  end
  at(1, 1)
end

return M
