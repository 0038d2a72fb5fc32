-- A task put together by questions: what, where, in which words. Leaving a question (Esc) goes back
-- to the one before; leaving the first ends it.
local M = {}

---@class opendevagent.Answers
---@field verb? opendevagent.Action
---@field whole? boolean        the whole file instead of the range or the cursor
---@field instruction? string
---@field language? string
---@field framework? string
---@field check? string

---@alias opendevagent.Next fun(given: boolean)
---@alias opendevagent.Ask
---| fun(answers: opendevagent.Answers, target: opendevagent.Target, next: opendevagent.Next)

---@class opendevagent.Step
---@field when? fun(answers: opendevagent.Answers): boolean
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
local function choose(prompt, choices, take)
  return function(answers, target, next)
    local offered = type(choices) == 'function' and choices(answers, target) or choices
    vim.ui.select(offered, {
      prompt = type(prompt) == 'function' and prompt(answers, target) or prompt,
      kind = 'opendevagent',
      format_item = function(choice)
        return choice[2]
      end,
    }, function(choice)
      if choice then
        take(answers, choice[1])
      end
      next(choice ~= nil)
    end)
  end
end

--- A question for words; none are an answer, too.
local function words(field, prompt)
  return function(answers, _, next)
    vim.ui.input({ prompt = prompt, default = answers[field] or '' }, function(text)
      if text then
        answers[field] = vim.trim(text) ~= '' and vim.trim(text) or nil
      end
      next(text ~= nil)
    end)
  end
end

--- The place that the user chose before asking, and the whole file.
local function places(_, target)
  local lines = ('line %d'):format(target.first + 1)
  if not target.column then
    lines = ('lines %d to %d'):format(target.first + 1, target.last + 1)
  end
  local name = vim.fn.fnamemodify(vim.api.nvim_buf_get_name(target.bufnr), ':t')
  return { { false, name .. ', ' .. lines }, { true, name .. ', the whole file' } }
end

--- Which actions a question is for.
local function only(...)
  local verbs = { ... }
  return function(answers)
    return vim.list_contains(verbs, answers.verb)
  end
end

--- What was answered, in one line.
local function summary(answers, target)
  local place = places(answers, target)[answers.whole and 2 or 1][2]
  local parts = { ('%s (%s)'):format(answers.verb, place) }
  for _, field in ipairs({ 'instruction', 'language', 'framework', 'check' }) do
    table.insert(parts, answers[field] and ('%s: %s'):format(field, answers[field]))
  end
  return table.concat(parts, '; ')
end

---@type opendevagent.Step[]
local steps = {
  {
    ask = choose('OpenDevAgent: what?', actions, function(answers, verb)
      answers.verb = verb
    end),
  },
  {
    when = only('plan', 'generate', 'fix', 'tests', 'review', 'explain'),
    ask = choose('Where?', places, function(answers, whole)
      answers.whole = whole
    end),
  },
  {
    when = only('plan', 'generate', 'fix', 'tests', 'review', 'explain'),
    ask = words('instruction', 'In your words (may be empty): '),
  },
  { when = only('generate', 'run'), ask = words('language', 'Language (empty: as the file): ') },
  {
    when = only('generate', 'tests'),
    ask = words('framework', 'Framework (empty: as the project): '),
  },
  {
    when = only('generate', 'fix', 'tests'),
    ask = words('check', 'Check, a shell command (empty: as the project): '),
  },
  {
    ask = choose(summary, { { true, 'Start' } }, function() end),
  },
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
    if step.when and not step.when(answers) then
      return at(index + direction, direction)
    end
    step.ask(answers, target, function(given)
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
