-- One task of a real server through the real plugin, as a user would do it:
--   OPENDEVAGENT_BIN=…          the server
--   OPENDEVAGENT_TEST_DIR=…     the workspace, which becomes the current directory
--   OPENDEVAGENT_TEST_FILE=…    the file to open there
--   OPENDEVAGENT_TEST_REVIEW=0  answers the question instead of the diff tab
--   OPENDEVAGENT_TEST_KEY=…     what is typed when the key is asked for; nothing without it
--   OPENDEVAGENT_TEST_CANCEL=1  cancels once a model is asked
--   nvim --clean --headless -l tests/nvim/e2e.lua
-- Prints one JSON line {buffer, disk, modified, undone, verdict, phase, asked, told}; ends with 1
-- and the log on stderr when no edit arrived within two minutes.
local here = vim.fs.dirname(vim.fn.fnamemodify(debug.getinfo(1, 'S').source:sub(2), ':p'))
vim.opt.runtimepath:prepend(vim.fs.normalize(here .. '/../../editors/nvim'))
vim.cmd('runtime plugin/opendevagent.lua | filetype plugin indent on')
local review = vim.env.OPENDEVAGENT_TEST_REVIEW ~= '0'
vim.g.opendevagent = { cmd = { vim.env.OPENDEVAGENT_BIN, 'lsp' }, review = review }

--- The buffer as it would be written.
local function text(bufnr)
  local newline = vim.bo[bufnr].fileformat == 'dos' and '\r\n' or '\n'
  local lines = vim.api.nvim_buf_get_lines(bufnr, 0, -1, false)
  return table.concat(lines, newline) .. (vim.bo[bufnr].endofline and newline or '')
end

--- The file's bytes.
local function bytes(path)
  local file = assert(io.open(path, 'rb'))
  local content = file:read('*a')
  file:close()
  return content
end

local began, ended = false, nil
local asked = 0
local told = {}
vim.api.nvim_create_autocmd('User', {
  pattern = 'OpenDevAgentEvent',
  callback = function(event)
    began = true
    ended = event.data.kind == 'ended' and event.data or ended
    if event.data.kind == 'said' and vim.env.OPENDEVAGENT_TEST_CANCEL == '1' and not ended then
      vim.schedule(function()
        vim.cmd('OpenDevAgent cancel')
      end)
    end
  end,
})
vim.fn.inputsecret = function()
  asked = asked + 1
  return vim.env.OPENDEVAGENT_TEST_KEY or ''
end
vim.notify = function(message)
  table.insert(told, message)
end
vim.ui.select = function(items, _, choose)
  for index, item in ipairs(items) do
    if item.title == 'Apply' then
      return choose(item, index)
    end
  end
  choose(nil)
end

vim.fn.chdir(vim.env.OPENDEVAGENT_TEST_DIR)
vim.cmd.edit(vim.fn.fnameescape(vim.env.OPENDEVAGENT_TEST_FILE))
local bufnr = vim.api.nvim_get_current_buf()
local before = text(bufnr)
vim.cmd('OpenDevAgent fix')

--- No task came of it, and the user was told why.
local function refused()
  return not began and #told > 0
end

local function settled()
  if review and #vim.api.nvim_list_tabpages() == 2 then
    vim.api.nvim_feedkeys('a', 'xt', false)
  end
  local hopeless = ended and (ended.phase ~= 'complete' or not ended.verdict) or refused()
  return hopeless or (ended and text(bufnr) ~= before)
end
vim.wait(120000, settled, 20)
if ended and ended.phase == 'failed' then
  -- Said beside the event that it is told by.
  vim.wait(5000, function()
    return #told > 0
  end, 20)
end
local changed = text(bufnr) ~= before
local result = {
  buffer = text(bufnr),
  disk = bytes(vim.api.nvim_buf_get_name(bufnr)),
  modified = vim.bo[bufnr].modified,
  verdict = ended and ended.verdict or vim.NIL,
  phase = ended and ended.phase or vim.NIL,
  asked = asked,
  told = told,
}
vim.api.nvim_buf_call(bufnr, function()
  vim.cmd('silent! undo')
end)
result.undone = text(bufnr)
io.stdout:write(vim.json.encode(result), '\n')

if not changed then
  vim.cmd('OpenDevAgent log')
  io.stderr:write(table.concat(vim.api.nvim_buf_get_lines(0, 0, -1, false), '\n'), '\n')
end
vim.lsp.stop_client(require('opendevagent.client').all())
vim.wait(5000, function()
  return #require('opendevagent.client').all() == 0
end, 20)
os.exit(changed and 0 or 1)
