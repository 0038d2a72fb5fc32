-- What tasks found, as a quickfix list.
local support = require('support')

describe('findings', function()
  local told

  local function task(fields)
    local events = vim.list_extend({
      { kind = 'started', action = fields.action, title = fields.title },
    }, fields.found)
    table.insert(events, { kind = 'ended', phase = fields.phase, verdict = fields.verdict })
    told = support.notifications()
    for _, event in ipairs(events) do
      support.event(vim.tbl_extend('error', event, { task = fields.title }))
    end
    vim.wait(2000, function()
      return #told > 0
    end, 10)
  end

  local function found(path, line, column, message, severity, category)
    local finding = { line = line, column = column, message = message }
    finding.severity, finding.category = severity, category
    return { kind = 'found', path = path, findings = { finding } }
  end

  local function quickfix()
    local list = vim.fn.getqflist({ title = 0, items = 0 })
    local items = vim.tbl_map(function(item)
      local name = vim.fs.basename(vim.api.nvim_buf_get_name(item.bufnr))
      return { name, item.lnum, item.col, item.type, item.text }
    end, list.items)
    return list.title, items
  end

  setup(function()
    vim.fn.chdir(vim.env.SPEC_DIR)
    support.open('closed.py', { 'x = "é" + y' })
    support.open('open.py', { 'one', 'two = "😀" + z' })
    support.attach()
  end)

  it('of a review become a list of their own, the last word about each file', function()
    vim.fn.setqflist({ { text = 'mine' } })
    task({
      action = 'review',
      title = 'Review',
      phase = 'complete',
      found = {
        found('open.py', 1, 1, 'outdated', 'error', 'bug'),
        found('open.py', 2, 12, 'unknown', 'warning', 'bug'),
        found('closed.py', 1, 11, 'unsafe', 'error', 'security'),
      },
    })
    assert.same({ 'OpenDevAgent: 2 findings in the quickfix list (:copen)' }, told)
    local title, items = quickfix()
    assert.equal('OpenDevAgent: Review', title)
    assert.same({
      { 'closed.py', 1, 12, 'E', '[security] unsafe' },
      { 'open.py', 2, 15, 'W', '[bug] unknown' },
    }, items)
    vim.cmd('silent colder')
    assert.equal('mine', vim.fn.getqflist()[1].text)
  end)

  it('lead to their places', function()
    vim.cmd('silent cnewer | silent cfirst')
    assert.equal('closed.py', vim.fs.basename(vim.api.nvim_buf_get_name(0)))
    assert.same({ 1, 11 }, vim.api.nvim_win_get_cursor(0))
  end)

  it('that were mended are none', function()
    local before = vim.fn.getqflist({ nr = '$' }).nr
    task({
      action = 'fix',
      title = 'Mended',
      phase = 'complete',
      found = { found('open.py', 1, 1, 'failed', 'error', 'check') },
      verdict = { level = 'proven', reason = '' },
    })
    task({ action = 'fix', title = 'Cancelled', phase = 'cancelled', found = {} })
    assert.same({}, told)
    assert.equal(before, vim.fn.getqflist({ nr = '$' }).nr)
  end)

  it('that a fix leaves are a list', function()
    task({
      action = 'fix',
      title = 'Fix',
      phase = 'failed',
      found = { found('open.py', 1, 1, 'failed', 'error', 'check') },
      verdict = { level = 'failing', reason = '' },
    })
    assert.same({ 'OpenDevAgent: 1 finding in the quickfix list (:copen)' }, told)
    assert.equal('OpenDevAgent: Fix', (quickfix()))
  end)

  it('stay out of the list with quickfix = false', function()
    vim.g.opendevagent = vim.tbl_extend('force', vim.g.opendevagent, { quickfix = false })
    local before = vim.fn.getqflist({ nr = '$' }).nr
    task({
      action = 'review',
      title = 'Quiet',
      phase = 'complete',
      found = { found('open.py', 1, 1, 'bad', 'error', 'bug') },
    })
    assert.same({}, told)
    assert.equal(before, vim.fn.getqflist({ nr = '$' }).nr)
  end)
end)
