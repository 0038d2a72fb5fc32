-- vim.g.opendevagent, what initialize carries, how the server is found, :checkhealth.
package.path = vim.fs.dirname(debug.getinfo(1, 'S').source:sub(2)) .. '/?.lua;' .. package.path
local spec = require('spec')
local check, equal = spec.check, spec.equal
local config = require('opendevagent.config')
local cmd = vim.g.opendevagent.cmd

local function problems(given)
  vim.g.opendevagent = given
  return table.concat(config.problems(), '; ')
end
equal('nothing need be set', problems(nil), '')
check('a wrong type is named', problems('x'):match('must be a table, not a string'))
check('an unknown field is named', problems({ cmdd = {} }):match('no field "cmdd"'))
check(
  'a wrong cmd is named',
  problems({ cmd = 'opendevagent' }):match('cmd must be a list of strings')
)
check('a wrong review is named', problems({ review = 'no' }):match('review must be true or false'))

local function init_options(given)
  vim.g.opendevagent = given
  return config.lsp().init_options
end
local all = { review = true, events = true, credentials = true, status = true }
equal('all opt-ins are sent', init_options(nil).client, all)
equal(
  'review = false is not opted in',
  init_options({ review = false }).client,
  { events = true, credentials = true, status = true }
)
equal('no settings are an object', vim.json.encode(init_options(nil).settings), '{}')

local told = spec.notifications()
local path = spec.open('plain/a.py', { 'pass' })
vim.g.opendevagent = { cmd = { 'no-such-server', 'lsp' } }
vim.cmd('OpenDevAgent fix')
check(
  'a missing server is named with the remedy',
  told[1]:match('"no%-such%-server" was not found; put')
)
local function waiting()
  return #vim.api.nvim_get_autocmds({ group = 'opendevagent_waiting' })
end
equal('and no command waits for it', waiting(), 0)
vim.g.opendevagent = { cmdd = {} }
vim.cmd('OpenDevAgent fix')
check('a wrong option is told at the command', told[2]:match('no field "cmdd"'))
vim.g.opendevagent = { cmd = { 'false' } }
vim.cmd('OpenDevAgent fix')
spec.eventually('a server that dies at once leaves no client', function()
  return waiting() == 0 and not spec.client()
end)

vim.g.opendevagent = { cmd = cmd, settings = { model = { baseUrl = 'http://127.0.0.1:1' } } }
spec.attach()
local commands = spec.heard(function(message)
  return message.method == 'workspace/executeCommand'
end)
equal('and no command of before is run later', commands, {})
local initialize = spec.heard(function(message)
  return message.method == 'initialize'
end)[1].params
equal('settings reach the server', initialize.initializationOptions, {
  client = all,
  settings = { model = { baseUrl = 'http://127.0.0.1:1' } },
})
equal(
  "an unmarked file's own directory is the root",
  initialize.rootUri,
  vim.uri_from_fname(vim.fs.dirname(path))
)
vim.fn.chdir(vim.env.SPEC_DIR)
equal('the current directory is, when above it', config.root(0), vim.fs.normalize(vim.env.SPEC_DIR))
vim.fn.writefile({}, vim.env.SPEC_DIR .. '/plain/go.mod')
equal('a marked directory is nearer', config.root(0), vim.fs.normalize(vim.fs.dirname(path)))

require('opendevagent').enable()
vim.cmd.edit(vim.env.SPEC_DIR .. '/plain/b.py')
spec.eventually('enable() attaches to further files', function()
  return require('opendevagent.client').attached(0) ~= nil
end)
equal('one server serves both', #require('opendevagent.client').all(), 1)
vim.cmd.enew()
vim.bo.filetype = 'markdown'
vim.wait(100)
equal('not to other kinds of file', require('opendevagent.client').attached(0), nil)

vim.cmd('checkhealth opendevagent')
local report = table.concat(vim.api.nvim_buf_get_lines(0, 0, -1, false), '\n')
check('checkhealth: options', report:match('vim.g.opendevagent is valid'))
check('checkhealth: server', report:match('python3: Python 3'))
check('checkhealth: key', report:match('no key here'))
check('checkhealth: attached', report:match('server %d+ runs for'))
vim.env.OPENROUTER_API_KEY = 'sk-secret'
vim.cmd('checkhealth opendevagent')
report = table.concat(vim.api.nvim_buf_get_lines(0, 0, -1, false), '\n')
check(
  'checkhealth: key found, never shown',
  report:match('a key is in %$OPEN') and not report:match('sk%-')
)
