-- A whole task, both ways of delivery; events, log, progress, status, cancel.
package.path = vim.fs.dirname(debug.getinfo(1, 'S').source:sub(2)) .. '/?.lua;' .. package.path
local spec = require('spec')
local check, equal = spec.check, spec.equal
local agent = require('opendevagent')

local events = {}
vim.api.nvim_create_autocmd('User', {
  pattern = 'OpenDevAgentEvent',
  callback = function(event)
    table.insert(events, event.data)
  end,
})
local function ended()
  return #events > 0 and events[#events].kind == 'ended'
end
local function text()
  return table.concat(vim.api.nvim_buf_get_lines(0, 0, -1, false), '\n')
end

local path = spec.open('add.py', { 'broken' })
vim.cmd('OpenDevAgent fix')
spec.eventually('the review opens', function()
  return #vim.api.nvim_list_tabpages() == 2
end)
equal('the statusline shows title and progress', agent.statusline(), 'Fix add.py testing 65 %')
spec.feed('a')
spec.eventually('the task ends', ended)
equal('the buffer has the fix', text(), 'fixed')
equal('the disk has not', vim.fn.readfile(path), { 'broken' })
vim.cmd('silent undo')
equal('one undo takes it back', text(), 'broken')
spec.eventually('the statusline is empty again', function()
  return agent.statusline() == ''
end)
equal('the autocommand carries the verdict', events[#events].verdict.level, 'proven')

vim.cmd('OpenDevAgent log')
local log = text()
check('log: started', log:match('%d%d:%d%d:%d%d started fix: Fix add.py'))
check('log: phase', log:match('testing %(65 %%%)'))
check('log: ran', log:match('ran before the edit: exit_nonzero, exit code 1, 1 of 2 tests passed'))
check(
  'log: ended',
  log:match('ended complete, proven: test_add failed before and passes now. done')
)
local function event(fields)
  spec.say({
    method = 'opendevagent/event',
    params = vim.tbl_extend('force', { task = 'x', seq = 1, at = 0 }, fields),
  })
end
for _, piece in ipairs({ 'one', ' line\r\nand an', 'other' }) do
  event({ kind = 'said', agent = 'coder', text = piece })
end
spec.eventually('the log follows', function()
  return vim.api.nvim_get_current_line() == '         and another'
end)
check(
  'pieces of an answer are joined',
  text():match(' coder:\n         one line\n         and another$')
)
event({ kind = 'found', path = 'a.py', findings = { { line = 3, message = 'bad' } } })
event({ kind = 'usage', usage = { prompt_tokens = 5, completion_tokens = 2, cost_usd = 0.25 } })
event({ kind = 'noted', level = 'info', text = '✓ Plan created' })
event({ kind = 'unheard-of' })
event({ kind = 'ended', phase = 'failed', message = 'no key' })
local expected = {
  'found 1:',
  '         a.py:3: bad',
  'usage: 5 + 2 tokens, $0.2500',
  '✓ Plan created',
  'unheard-of',
  'ended failed. no key',
}
spec.eventually('every kind is logged', function()
  local tail = text():match('and another\n(.*)$') or ''
  return (tail:gsub('%d%d:%d%d:%d%d ', '')) == table.concat(expected, '\n')
end)
vim.cmd('normal! gg')
event({ kind = 'noted', text = 'more' })
vim.wait(200)
equal('a reader who moved up stays', vim.api.nvim_win_get_cursor(0)[1], 1)
vim.cmd.close()

local told = spec.notifications()
vim.cmd('OpenDevAgent cancel')
check('nothing to cancel', told[1]:match('no task is running'))
event({ kind = 'started', action = 'plan', title = 'Plan', task = 'x1' })
vim.wait(200)
vim.cmd('OpenDevAgent cancel')
equal('the running task is cancelled', spec.command('opendevagent.cancel'), { task = 'x1' })
event({ kind = 'started', action = 'plan', title = 'Other plan', task = 'x2' })
vim.wait(200)
local offered
vim.ui.select = function(items, options, choose)
  offered = vim.tbl_map(options.format_item, items)
  choose(items[2])
end
vim.cmd('OpenDevAgent cancel')
equal('of several one is chosen', offered, { 'Plan', 'Other plan' })
spec.eventually('and cancelled', function()
  return spec.command('opendevagent.cancel').task == 'x2'
end)

local problem = { state = 'problem', message = 'Docker is not running', remedy = 'start it' }
spec.say({ method = 'opendevagent/status', params = problem })
spec.say({ method = 'opendevagent/status', params = problem })
spec.eventually('a problem stands in the statusline', function()
  return agent.statusline() == 'OpenDevAgent: Docker is not running'
end)
equal(
  'and is told once, with its remedy',
  { told[2], told[3] },
  { 'OpenDevAgent: Docker is not running; start it' }
)
spec.say({ method = 'opendevagent/status', params = { state = 'ready', message = '' } })
spec.eventually('ready says nothing', function()
  return agent.statusline() == ''
end)

vim.lsp.stop_client(spec.client().id, true)
vim.wait(5000, function()
  return spec.client() == nil
end, 10)
vim.wait(50)
vim.cmd('OpenDevAgent cancel')
check('tasks end with their server', told[#told]:match('no task is running'))

-- The generic route.
vim.g.opendevagent = vim.tbl_extend('force', vim.g.opendevagent, { review = false })
local choice = 3
vim.ui.select = function(items, options, choose)
  offered = vim.tbl_map(options.format_item, items)
  choose(items[choice])
end
events = {}
vim.cmd('OpenDevAgent fix')
spec.eventually('review = false: the task ends', ended)
equal('it was a question', offered, { 'Apply', 'Show diff', 'Discard' })
equal('discarded, nothing changes', text(), 'broken')
choice, events = 1, {}
vim.cmd('OpenDevAgent fix')
spec.eventually('again', ended)
equal('applied, it is in the buffer', text(), 'fixed')
