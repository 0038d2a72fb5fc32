-- A whole task, both ways of delivery; events, log, progress, status, messages, cancel.
local support = require('support')
local agent = require('opendevagent')
local event, text = support.event, support.text

describe('a task', function()
  local path, told
  local events = {}

  local function ended()
    return #events > 0 and events[#events].kind == 'ended'
  end

  setup(function()
    vim.api.nvim_create_autocmd('User', {
      pattern = 'OpenDevAgentEvent',
      callback = function(args)
        table.insert(events, args.data)
      end,
    })
    path = support.open('add.py', { 'broken' })
  end)

  it('shows in the statusline how far it is', function()
    vim.cmd('OpenDevAgent fix')
    support.eventually(function()
      return #vim.api.nvim_list_tabpages() == 2
    end)
    assert.equal('Fix add.py testing 65 %', agent.statusline())
  end)

  it('changes the buffer, not the disk, in one undo', function()
    support.feed('a')
    support.eventually(ended)
    assert.equal('fixed', text())
    assert.same({ 'broken' }, vim.fn.readfile(path))
    vim.cmd('silent undo')
    assert.equal('broken', text())
  end)

  it('ends in the statusline, and in the autocommand with its verdict', function()
    support.eventually(function()
      return agent.statusline() == ''
    end)
    assert.equal('proven', events[#events].verdict.level)
  end)

  it('is in the log', function()
    vim.cmd('OpenDevAgent log')
    local log = text()
    assert.matches('%d%d:%d%d:%d%d started fix: Fix add.py', log)
    assert.matches('testing %(65 %%%)', log)
    assert.matches('ran before the edit: exit_nonzero, exit code 1, 1 of 2 tests passed', log)
    assert.matches('ended complete, proven: test_add failed before and passes now. done', log)
  end)

  it('speaks in the log, which follows', function()
    for _, piece in ipairs({ 'one', ' line\r\nand an', 'other' }) do
      event({ kind = 'said', agent = 'coder', text = piece })
    end
    support.eventually(function()
      return vim.api.nvim_get_current_line() == '         and another'
    end)
    assert.matches(' coder:\n         one line\n         and another$', text())
  end)

  it('has every kind of event in the log, known or not', function()
    event({ kind = 'waiting', agent = 'coder', seconds = 12 })
    event({ kind = 'found', path = 'a.py', findings = { { line = 3, message = 'bad' } } })
    event({ kind = 'usage', usage = { prompt_tokens = 5, completion_tokens = 2, cost_usd = 0.25 } })
    event({ kind = 'noted', level = 'info', text = '✓ Plan created' })
    event({ kind = 'unheard-of' })
    event({ kind = 'ended', phase = 'failed', message = 'no key' })
    local expected = {
      'waiting for the coder, 12 s',
      'found 1:',
      '         a.py:3: bad',
      'usage: 5 + 2 tokens, $0.2500',
      '✓ Plan created',
      'unheard-of',
      'ended failed. no key',
    }
    support.eventually(function()
      local tail = text():match('and another\n(.*)$') or ''
      return (tail:gsub('%d%d:%d%d:%d%d ', '')) == table.concat(expected, '\n')
    end)
  end)

  it('does not move a reader who went up in the log', function()
    vim.cmd('normal! gg')
    event({ kind = 'noted', text = 'more' })
    vim.wait(200)
    assert.equal(1, vim.api.nvim_win_get_cursor(0)[1])
    vim.cmd.close()
  end)

  it('is cancelled; of several one is chosen', function()
    told = support.notifications()
    vim.cmd('OpenDevAgent cancel')
    assert.matches('no task is running', told[1])
    event({ kind = 'started', action = 'plan', title = 'Plan', task = 'x1' })
    vim.wait(200)
    vim.cmd('OpenDevAgent cancel')
    assert.same({ task = 'x1' }, support.command('opendevagent.cancel'))
    event({ kind = 'started', action = 'plan', title = 'Other plan', task = 'x2' })
    vim.wait(200)
    local offered
    vim.ui.select = function(items, options, choose)
      offered = vim.tbl_map(options.format_item, items)
      choose(items[2])
    end
    vim.cmd('OpenDevAgent cancel')
    assert.same({ 'Plan', 'Other plan' }, offered)
    support.eventually(function()
      return support.command('opendevagent.cancel').task == 'x2'
    end)
  end)

  it('tells a problem once with its remedy, and keeps it in the statusline', function()
    local problem = { state = 'problem', message = 'Docker is not running', remedy = 'start it' }
    support.say({ method = 'opendevagent/status', params = problem })
    support.say({ method = 'opendevagent/status', params = problem })
    support.eventually(function()
      return agent.statusline() == 'OpenDevAgent: Docker is not running'
    end)
    vim.wait(100)
    assert.same({ 'OpenDevAgent: Docker is not running; start it' }, vim.list_slice(told, 2))
    support.say({ method = 'opendevagent/status', params = { state = 'ready', message = '' } })
    support.eventually(function()
      return agent.statusline() == ''
    end)
  end)

  it("passes the server's messages to vim.notify, with their weight", function()
    local levels = {}
    vim.notify = function(message, level)
      levels[message] = level
    end
    support.say({ method = 'window/showMessage', params = { type = 1, message = 'broken' } })
    local warning = { type = 2, message = 'OpenDevAgent: odd' }
    support.say({ method = 'window/showMessage', params = warning })
    support.say({ method = 'window/showMessage', params = { type = 3, message = 'done' } })
    support.eventually(function()
      return levels['OpenDevAgent: done'] == vim.log.levels.INFO
    end)
    assert.equal(vim.log.levels.ERROR, levels['OpenDevAgent: broken'])
    assert.equal(vim.log.levels.WARN, levels['OpenDevAgent: odd'])
  end)

  it('ends with its server', function()
    told = support.notifications()
    vim.lsp.stop_client(support.client().id, true)
    vim.wait(5000, function()
      return support.client() == nil
    end, 10)
    vim.wait(50)
    vim.cmd('OpenDevAgent cancel')
    assert.matches('no task is running', told[#told])
  end)
end)

describe('without review', function()
  local offered, choice
  local ends = 0

  local function fix(answer)
    choice, ends = answer, 0
    vim.cmd('OpenDevAgent fix')
    support.eventually(function()
      return ends == 1
    end)
  end

  setup(function()
    vim.api.nvim_create_autocmd('User', {
      pattern = 'OpenDevAgentEvent',
      callback = function(args)
        ends = ends + (args.data.kind == 'ended' and 1 or 0)
      end,
    })
    vim.g.opendevagent = vim.tbl_extend('force', vim.g.opendevagent, { review = false })
    vim.ui.select = function(items, options, choose)
      offered = vim.tbl_map(options.format_item, items)
      choose(items[choice])
    end
  end)

  it('a proposal is a question', function()
    fix(3)
    assert.same({ 'Apply', 'Show diff', 'Discard' }, offered)
    assert.equal('broken', text())
  end)

  it('and applied by its answer', function()
    fix(1)
    assert.equal('fixed', text())
  end)
end)
