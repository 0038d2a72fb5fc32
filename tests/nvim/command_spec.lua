-- :OpenDevAgent, its arguments, and what reaches the server.
local support = require('support')

local function complete(line)
  return vim.fn.getcompletion(line, 'cmdline')
end

local function at(line, character)
  return { line = line, character = character }
end

describe(':OpenDevAgent', function()
  local path, told

  it('is loaded by its first use', function()
    assert.is_nil(package.loaded['opendevagent.command'])
  end)

  it('completes verbs, and leaves the instruction alone', function()
    local verbs = 'cancel dashboard doctor explain fix generate key log plan review run tasks tests'
    assert.same(vim.split(verbs, ' '), complete('OpenDevAgent '))
    assert.same({ 'review' }, complete('OpenDevAgent re'))
    assert.same({ 'generate' }, complete('1,2OpenDevAgent ge'))
    assert.same({}, complete('OpenDevAgent generate add r'))
  end)

  it('refuses an unknown verb by name', function()
    told = support.notifications()
    vim.cmd('OpenDevAgent dance')
    assert.matches('no "dance"; choose from cancel, dashboard', told[1])
  end)

  it('refuses a buffer without a file', function()
    vim.cmd('OpenDevAgent fix')
    assert.matches('save it under a name first', told[2])
  end)

  it('starts the server', function()
    path = support.open('add.py', { 'x = "😀é"  # odd', 'def add(a, b):', '    return a - b' })
    vim.cmd('OpenDevAgent plan')
    local argument = support.command('opendevagent.plan')
    assert.equal(vim.uri_from_fname(path), argument.uri)
    assert.is_nil(argument.instruction)
    assert.same({}, argument.diagnostics)
  end)

  it('counts the cursor in the encoding that was agreed', function()
    vim.api.nvim_win_set_cursor(0, { 1, 11 })
    vim.cmd('OpenDevAgent explain')
    local range = support.command('opendevagent.explain').range
    assert.same({ start = at(0, 8), ['end'] = at(0, 8) }, range)
  end)

  it('takes a range for whole lines, and the rest for words', function()
    vim.cmd('1,2OpenDevAgent generate   add retries, "quoted" | too  ')
    local argument = support.command('opendevagent.generate')
    assert.same({ start = at(0, 0), ['end'] = at(1, 14) }, argument.range)
    assert.equal('add retries, "quoted" | too', argument.instruction)
  end)

  describe('with diagnostics of whatever source', function()
    setup(function()
      vim.diagnostic.set(vim.api.nvim_create_namespace('spec'), 0, {
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
    end)

    it("sends those of the cursor's line", function()
      vim.api.nvim_win_set_cursor(0, { 1, 0 })
      vim.cmd('OpenDevAgent review')
      local range = { start = at(0, 8), ['end'] = at(0, 10) }
      assert.same(
        { { range = range, message = 'odd', severity = 2, source = 'lint' } },
        support.command('opendevagent.review').diagnostics
      )
    end)

    it('sends those of the range', function()
      vim.cmd('2,3OpenDevAgent tests')
      local range = { start = at(2, 4), ['end'] = at(2, 4) }
      assert.same(
        { { range = range, message = 'wrong', severity = 1, code = 'E1' } },
        support.command('opendevagent.tests').diagnostics
      )
    end)
  end)

  it('takes the selection through a <Plug> map', function()
    vim.keymap.set({ 'n', 'x' }, 'gf', '<Plug>(OpenDevAgentRun)')
    support.feed('ggVjgf')
    local range = support.command('opendevagent.run').range
    assert.same({ start = at(0, 0), ['end'] = at(1, 14) }, range)
  end)

  it('shows what the doctor says, from any buffer', function()
    vim.cmd.enew()
    vim.cmd('OpenDevAgent doctor')
    support.eventually(function()
      local lines = vim.api.nvim_buf_get_lines(0, 0, -1, false)
      return vim.deep_equal(lines, { '✗ docker: off', '    start it' })
    end)
    support.feed('q')
    vim.cmd.edit(path)
  end)

  it('opens the dashboard', function()
    vim.cmd('OpenDevAgent dashboard')
    assert.same({}, support.command('opendevagent.dashboard'))
  end)

  it('works on unsaved text', function()
    vim.api.nvim_buf_set_lines(0, 0, 1, false, { 'y = 1' })
    vim.cmd('OpenDevAgent plan again')
    support.eventually(function()
      local order = vim.tbl_map(function(message)
        local argument = vim.tbl_get(message, 'params', 'arguments', 1)
        return argument and argument.instruction or message.method or ''
      end, support.heard())
      return table.concat(order, ' '):match('textDocument/didChange again')
    end)
  end)
end)
