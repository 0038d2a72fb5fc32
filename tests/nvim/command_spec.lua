-- :OpenDevAgent, its arguments, and what reaches the server.
package.path = vim.fs.dirname(debug.getinfo(1, 'S').source:sub(2)) .. '/?.lua;' .. package.path
local spec = require('spec')
local check, equal = spec.check, spec.equal

check('nothing is loaded before the first use', not package.loaded['opendevagent.command'])

local function complete(line)
  return vim.fn.getcompletion(line, 'cmdline')
end
equal(
  'every verb completes',
  complete('OpenDevAgent '),
  vim.split('cancel doctor explain fix generate key log plan review run tasks tests', ' ')
)
equal('a beginning narrows', complete('OpenDevAgent re'), { 'review' })
equal('a range does not disturb', complete('1,2OpenDevAgent ge'), { 'generate' })
equal('the instruction is free', complete('OpenDevAgent generate add r'), {})

local told = spec.notifications()
vim.cmd('OpenDevAgent dance')
check('an unknown verb is refused by name', told[1]:match('no "dance"; choose from cancel, doctor'))
vim.cmd('OpenDevAgent fix')
check('a buffer without a file is refused', told[2]:match('save it under a name first'))

local path = spec.open('add.py', { 'x = "😀é"  # odd', 'def add(a, b):', '    return a - b' })
vim.cmd('OpenDevAgent plan')
local argument = spec.command('opendevagent.plan')
check('the first command starts the server', argument ~= nil)
equal('the file is named', argument.uri, vim.uri_from_fname(path))
equal('no instruction is sent as none', argument.instruction, nil)
equal('no diagnostics are an empty list', argument.diagnostics, {})

local function at(line, character)
  return { line = line, character = character }
end
vim.api.nvim_win_set_cursor(0, { 1, 11 })
vim.cmd('OpenDevAgent explain')
equal(
  'the cursor counts in UTF-16',
  spec.command('opendevagent.explain').range,
  { start = at(0, 8), ['end'] = at(0, 8) }
)

vim.cmd('1,2OpenDevAgent generate   add retries, "quoted" | too  ')
argument = spec.command('opendevagent.generate')
equal('a range is whole lines', argument.range, { start = at(0, 0), ['end'] = at(1, 14) })
equal('the instruction is free text', argument.instruction, 'add retries, "quoted" | too')

local namespace = vim.api.nvim_create_namespace('spec')
vim.diagnostic.set(namespace, 0, {
  {
    lnum = 0,
    col = 11,
    end_lnum = 0,
    end_col = 13,
    message = 'odd',
    severity = 2,
    source = 'lint',
  },
  { lnum = 2, col = 4, message = 'wrong', severity = 1, code = 'E1' },
})
vim.api.nvim_win_set_cursor(0, { 1, 0 })
vim.cmd('OpenDevAgent review')
equal("the cursor line's diagnostics go along", spec.command('opendevagent.review').diagnostics, {
  {
    range = { start = at(0, 8), ['end'] = at(0, 10) },
    message = 'odd',
    severity = 2,
    source = 'lint',
  },
})
vim.cmd('2,3OpenDevAgent tests')
equal("a range's diagnostics go along", spec.command('opendevagent.tests').diagnostics, {
  {
    range = { start = at(2, 4), ['end'] = at(2, 4) },
    message = 'wrong',
    severity = 1,
    code = 'E1',
  },
})

vim.keymap.set({ 'n', 'x' }, 'gf', '<Plug>(OpenDevAgentRun)')
spec.feed('ggVjgf')
equal(
  'a <Plug> map takes the selection',
  spec.command('opendevagent.run').range,
  { start = at(0, 0), ['end'] = at(1, 14) }
)

vim.cmd('OpenDevAgent tasks')
spec.eventually('tasks are listed', function()
  return vim.api.nvim_get_current_line():match('^task%-1 +fix +complete +proven$')
end)
spec.feed('q')
vim.cmd('OpenDevAgent doctor')
spec.eventually('the doctor reports', function()
  local lines = vim.api.nvim_buf_get_lines(0, 0, -1, false)
  return vim.deep_equal(lines, { '✗ docker: off', '    start it' })
end)
spec.feed('q')

-- Unsaved text is what the server works on.
vim.api.nvim_buf_set_lines(0, 0, 1, false, { 'y = 1' })
vim.cmd('OpenDevAgent plan again')
spec.eventually('the changed text is sent before the command', function()
  local order = {}
  for _, message in
    ipairs(spec.heard(function()
      return true
    end))
  do
    local name = message.params
      and message.params.arguments
      and message.params.arguments[1].instruction
    table.insert(order, name or message.method)
  end
  local text = table.concat(order, ' ')
  return text:match('textDocument/didChange again')
end)
