-- opendevagent/review: the diff tab and its answers.
package.path = vim.fs.dirname(debug.getinfo(1, 'S').source:sub(2)) .. '/?.lua;' .. package.path
local spec = require('spec')
local check, equal = spec.check, spec.equal

local path = spec.open('src/a.py', { 'one', 'two' })
spec.attach()

local function file(name, before, after)
  return {
    uri = vim.uri_from_fname(vim.env.SPEC_DIR .. '/' .. name),
    before = before,
    after = after,
    diff = '',
  }
end
local function review(id, files)
  spec.say({
    id = id,
    method = 'opendevagent/review',
    params = {
      task = id,
      title = 'Fix 100%',
      verdict = { level = 'proven', reason = '' },
      files = files,
    },
  })
  return vim.wait(2000, function()
    return #vim.api.nvim_list_tabpages() == 2
  end, 10)
end
local function texts()
  return vim.tbl_map(function(window)
    local lines = vim.api.nvim_buf_get_lines(vim.api.nvim_win_get_buf(window), 0, -1, false)
    return table.concat(lines, '\n')
  end, vim.api.nvim_tabpage_list_wins(0))
end
local function answered(what, id, decision)
  local answer = spec.answer(id)
  equal(what, answer and answer.result, { decision = decision })
  equal(what .. ': the tab is gone', #vim.api.nvim_list_tabpages(), 1)
  equal(what .. ': back in the file', vim.api.nvim_buf_get_name(0), vim.uv.fs_realpath(path))
end

check('a tab opens', review('r1', { file('src/a.py', 'one\ntwo\n', 'one\n2\n') }))
equal('before and after, side by side', texts(), { 'one\ntwo', 'one\n2' })
check('as a diff', vim.wo.diff and vim.wo[vim.fn.win_getid(1)].diff)
equal(
  'neither can be changed',
  { vim.bo.modifiable, vim.bo[vim.fn.winbufnr(1)].modifiable },
  { false, false }
)
local function banner(window)
  local options = { use_winbar = true, winid = window }
  return vim.api.nvim_eval_statusline(vim.wo[window].winbar, options).str
end
equal(
  'one banner has title and verdict',
  vim.trim(banner(vim.fn.win_getid(1))),
  'Fix 100% (proven)'
)
check('the other has the keys', banner(0):match('^ a apply  q discard'))
spec.feed('a')
answered('a applies', 'r1', 'apply')
equal(
  'the file itself is untouched by us',
  vim.api.nvim_buf_get_lines(0, 0, -1, false),
  { 'one', 'two' }
)

review('r2', { file('src/a.py', 'one\r\n', 'two\r\n') })
equal('carriage returns are not shown', texts(), { 'one', 'two' })
spec.feed('q')
answered('q discards', 'r2', 'discard')

review('r3', { file('src/a.py', 'one\n', 'two\n') })
vim.cmd.tabclose()
answered('closing the tab decides nothing', 'r3', 'later')

review('r4', { file('src/a.py', 'one\n', '') })
vim.cmd.quit()
vim.cmd.quit()
answered('neither does :quit', 'r4', 'later')

review(
  'r5',
  { file('src/a.py', 'one', 'two'), file('new.py', nil, 'new\n'), file('old.py', 'old\n', nil) }
)
spec.feed(']f')
equal('a new file has nothing before', texts(), { '', 'new' })
spec.feed(']f')
equal('a deleted file has nothing after', texts(), { 'old', '' })
spec.feed(']f')
equal('the last is followed by the first', texts(), { 'one', 'two' })
spec.feed('[f')
check('the banner counts', vim.wo.winbar:match('file 3 of 3'))
spec.feed('a')
answered('one decision for all files', 'r5', 'apply')

review('r7', { file('src/a.py', 'one', 'two'), file('b.py', 'three', 'four') })
vim.cmd('wincmd h | quit')
spec.feed(']f')
equal('one window is enough to go on', texts(), { 'four' })
spec.feed('q')
answered('and to decide', 'r7', 'discard')
equal('later windows have no banner', vim.go.winbar, '')

local buffers = vim.tbl_filter(function(bufnr)
  return vim.api.nvim_buf_get_name(bufnr):match('^opendevagent://') ~= nil
end, vim.api.nvim_list_bufs())
equal('no buffers are left behind', buffers, {})

local told = spec.notifications()
check('a proposal without files opens no tab', not review('r0', {}))
equal('what cannot be shown is left for later', spec.answer('r0').result, { decision = 'later' })
check('and told', told[1]:match('cannot show the proposal: .*it names no file'))

-- Typing is not interrupted.
local opened_while_typing
vim.keymap.set('i', '<F2>', function()
  opened_while_typing = review('r6', { file('src/a.py', 'one', 'two') }) and 'yes' or 'no'
end)
local wait = vim.wait
vim.wait = function(_, ...)
  return wait(500, ...)
end
spec.feed('i<F2><Esc>')
vim.wait = wait
equal('no tab opens in insert mode', opened_while_typing, 'no')
spec.eventually('it opens afterwards', function()
  return #vim.api.nvim_list_tabpages() == 2
end)
spec.feed('q')
answered('and is answered', 'r6', 'discard')
