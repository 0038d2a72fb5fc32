-- opendevagent/review: the diff tab and its answers.
local support = require('support')

describe('a review', function()
  local path

  local function file(name, before, after)
    return {
      uri = vim.uri_from_fname(vim.env.SPEC_DIR .. '/' .. name),
      before = before,
      after = after,
      diff = '',
    }
  end

  --- Sends a proposal; whether a tab opened.
  local function review(id, files, patience)
    support.say({
      id = id,
      method = 'opendevagent/review',
      params = {
        task = id,
        title = 'Fix 100%',
        verdict = { level = 'proven', reason = '' },
        files = files,
      },
    })
    return vim.wait(patience or 2000, function()
      return #vim.api.nvim_list_tabpages() == 2
    end, 10)
  end

  local function texts()
    return vim.tbl_map(function(window)
      local lines = vim.api.nvim_buf_get_lines(vim.api.nvim_win_get_buf(window), 0, -1, false)
      return table.concat(lines, '\n')
    end, vim.api.nvim_tabpage_list_wins(0))
  end

  local function banner(window)
    local options = { use_winbar = true, winid = window }
    return vim.api.nvim_eval_statusline(vim.wo[window].winbar, options).str
  end

  --- It is answered so, and the user is where they were.
  local function answered(id, decision)
    local answer = support.answer(id)
    assert.same({ decision = decision }, answer and answer.result)
    assert.equal(1, #vim.api.nvim_list_tabpages())
    assert.equal(vim.uv.fs_realpath(path), vim.api.nvim_buf_get_name(0))
  end

  setup(function()
    path = support.open('src/a.py', { 'one', 'two' })
    support.attach()
  end)

  it('is a diff of before and after that nobody can change', function()
    assert.is_true(review('r1', { file('src/a.py', 'one\ntwo\n', 'one\n2\n') }))
    assert.same({ 'one\ntwo', 'one\n2' }, texts())
    for _, window in ipairs(vim.api.nvim_tabpage_list_wins(0)) do
      assert.is_true(vim.wo[window].diff)
      assert.is_false(vim.bo[vim.api.nvim_win_get_buf(window)].modifiable)
    end
  end)

  it('has title, verdict and keys above it', function()
    assert.equal('Fix 100% (proven)', vim.trim(banner(vim.fn.win_getid(1))))
    assert.matches('^ a apply  q discard', banner(0))
  end)

  it('moves between changes', function()
    support.feed('gg]c')
    assert.equal(2, vim.api.nvim_win_get_cursor(0)[1])
  end)

  it('is applied by a, which leaves the text to the server', function()
    support.feed('a')
    answered('r1', 'apply')
    assert.equal('one\ntwo', support.text())
  end)

  it('shows no carriage returns', function()
    review('r2', { file('src/a.py', 'one\r\n', 'two\r\n') })
    assert.same({ 'one', 'two' }, texts())
  end)

  it('is discarded by q', function()
    support.feed('q')
    answered('r2', 'discard')
  end)

  it('decides nothing when its tab or windows are closed', function()
    review('r3', { file('src/a.py', 'one\n', 'two\n') })
    vim.cmd.tabclose()
    answered('r3', 'later')
    review('r4', { file('src/a.py', 'one\n', '') })
    vim.cmd.quit()
    vim.cmd.quit()
    answered('r4', 'later')
  end)

  it('goes through several files, new and deleted ones too', function()
    review('r5', {
      file('src/a.py', 'one', 'two'),
      file('new.py', nil, 'new\n'),
      file('old.py', 'old\n', nil),
    })
    support.feed(']f')
    assert.same({ '', 'new' }, texts())
    support.feed(']f')
    assert.same({ 'old', '' }, texts())
    support.feed(']f')
    assert.same({ 'one', 'two' }, texts())
    support.feed('[f')
    assert.matches('file 3 of 3', vim.wo.winbar)
    support.feed('a')
    answered('r5', 'apply')
  end)

  it('gets along with one window', function()
    review('r7', { file('src/a.py', 'one', 'two'), file('b.py', 'three', 'four') })
    vim.cmd('wincmd h | quit')
    support.feed(']f')
    assert.same({ 'four' }, texts())
    support.feed('q')
    answered('r7', 'discard')
  end)

  it('leaves nothing behind', function()
    assert.equal('', vim.go.winbar)
    for _, bufnr in ipairs(vim.api.nvim_list_bufs()) do
      assert.not_matches('^opendevagent://r', vim.api.nvim_buf_get_name(bufnr))
    end
  end)

  it('without files opens no tab, is told, and left for later', function()
    local told = support.notifications()
    assert.is_false(review('r0', {}, 500))
    assert.same({ decision = 'later' }, support.answer('r0').result)
    assert.matches('cannot show the proposal: .*it names no file', told[1])
  end)

  it('waits until typing ends, and says so', function()
    local told = support.notifications()
    local opened
    vim.keymap.set('i', '<F2>', function()
      opened = review('r6', { file('src/a.py', 'one', 'two') }, 500)
    end)
    support.feed('i<F2><Esc>')
    assert.is_false(opened)
    assert.matches('Fix 100%%: the proposal opens once you are in Normal mode', told[1])
    support.eventually(function()
      return #vim.api.nvim_list_tabpages() == 2
    end)
    support.feed('q')
    answered('r6', 'discard')
  end)
end)
