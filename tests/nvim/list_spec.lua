-- The tasks in a floating window: live, with keys.
local support = require('support')

describe(':OpenDevAgent tasks', function()
  local verdict = { level = 'proven', reason = '' }
  local newer =
    { task = 't2', action = 'fix', title = 'Fix gcd.py', phase = 'testing', percent = 65 }
  local older = {
    task = 't1',
    action = 'tests',
    title = 'Write tests for gcd.py',
    phase = 'complete',
    percent = 100,
    verdict = verdict,
    offer = true,
  }

  local function rows(all)
    local server = support.client()
    require('opendevagent.client').request(server, 'test/rows', { rows = all })
  end

  local function shown()
    return vim.split(support.text():gsub(' +', ' '), '\n')
  end

  local function float()
    return vim.api.nvim_win_get_config(0).relative == 'editor'
  end

  setup(function()
    support.open('gcd.py', { 'pass' })
    support.attach()
  end)

  it('opens a float, empty at first', function()
    vim.cmd('OpenDevAgent tasks')
    assert.is_true(float())
    assert.same({ 'no tasks yet' }, shown())
    vim.cmd('OpenDevAgent tasks')
    assert.equal(2, #vim.api.nvim_tabpage_list_wins(0))
  end)

  it('follows the tasks while it is open', function()
    rows({ older, newer })
    support.event({ task = 't2', kind = 'started', action = 'fix', title = 'Fix gcd.py' })
    support.event({ task = 't2', kind = 'usage', usage = { cost_usd = 0.0125 } })
    local first = '… Fix gcd.py testing 65 % $0.0125'
    support.eventually(function()
      return vim.deep_equal(shown(), { first, '✓ Write tests for gcd.py proven a: apply' })
    end)
    assert.equal(2, vim.api.nvim_win_get_height(0))
    rows({ older, vim.tbl_extend('force', newer, { phase = 'failed', percent = 100 }) })
    support.event({ task = 't2', kind = 'ended', phase = 'failed' })
    support.eventually(function()
      return shown()[1] == 'Fix gcd.py failed $0.0125'
    end)
  end)

  it('acts on the task under the cursor', function()
    vim.api.nvim_win_set_cursor(0, { 2, 0 })
    support.feed('a')
    assert.same({ task = 't1' }, support.command('opendevagent.apply'))
    support.feed('x')
    assert.same({ task = 't1' }, support.command('opendevagent.discard'))
    vim.api.nvim_win_set_cursor(0, { 1, 0 })
    support.feed('c')
    assert.same({ task = 't2' }, support.command('opendevagent.cancel'))
    assert.is_true(float())
  end)

  it('makes room for the documents it opens', function()
    support.feed('d')
    assert.same({ task = 't2' }, support.command('opendevagent.showDiff'))
    assert.is_false(float())
    for key, command in pairs({ ['<CR>'] = 'showLog', p = 'showPlan' }) do
      vim.cmd('OpenDevAgent tasks')
      support.eventually(function()
        return #shown() == 2
      end)
      support.feed(key)
      assert.same({ task = 't2' }, support.command('opendevagent.' .. command))
      assert.is_false(float())
    end
  end)

  it('tells which tasks are of other servers, or of before', function()
    vim.cmd('OpenDevAgent tasks')
    local other = vim.tbl_extend('force', newer, { server = 'other', cost_usd = 0.5 })
    local earlier = vim.tbl_extend('force', older, { server = 'earlier', offer = false })
    rows({ other, earlier, vim.tbl_extend('force', older, { task = 't0', server = 'this' }) })
    support.event({ kind = 'noted', text = 'something happened' })
    support.eventually(function()
      return vim.deep_equal(shown(), {
        '… Fix gcd.py testing 65 % $0.0125 another editor',
        '✓ Write tests for gcd.py proven earlier',
        '✓ Write tests for gcd.py proven a: apply',
      })
    end)
    support.feed('q')
  end)

  it('is closed by q, and by leaving it', function()
    for _, keys in ipairs({ 'q', '<C-W>c' }) do
      vim.cmd('OpenDevAgent tasks')
      assert.is_true(float())
      support.feed(keys)
      assert.is_false(float())
    end
    support.event({ kind = 'noted', text = 'nobody shows it' })
    vim.wait(200)
    assert.equal('', vim.v.errmsg)
  end)
end)
