-- opendevagent/credentials and :OpenDevAgent key.
package.path = vim.fs.dirname(debug.getinfo(1, 'S').source:sub(2)) .. '/?.lua;' .. package.path
local spec = require('spec')
local check, equal = spec.check, spec.equal

spec.open('a.py', { 'pass' })
spec.attach()

local prompts, typed = 0, nil
vim.fn.inputsecret = function()
  prompts = prompts + 1
  return typed
end
local function ask(id)
  spec.say({ id = id, method = 'opendevagent/credentials', params = vim.empty_dict() })
  return spec.answer(id).result
end

vim.env.OPENROUTER_API_KEY = 'from-env'
equal('the environment is enough', ask('1'), { key = 'from-env' })
equal('no prompt for it', prompts, 0)
typed = '  typed-1 '
equal('asked again, the refused key is not repeated', ask('2'), { key = 'typed-1' })
equal('one prompt', prompts, 1)
typed = ''
local null = ask('3')
check('a prompt left empty answers null', null == nil or null == vim.NIL)
equal('it was asked for', prompts, 2)

local told = spec.notifications()
vim.cmd('OpenDevAgent key')
check('no key, nothing changed', told[1]:match('nothing changed'))
typed = 'typed-2'
vim.cmd('OpenDevAgent key')
spec.eventually('a key entered is handed to the running server', function()
  local sent = spec.heard(function(message)
    return message.method == 'opendevagent/setKey'
  end)[1]
  return sent and sent.params.key == 'typed-2'
end)

-- Two requests while one prompt is open share it.
typed = 'typed-3'
prompts = 0
vim.fn.inputsecret = function()
  prompts = prompts + 1
  vim.wait(300)
  return typed
end
spec.say({ id = '4', method = 'opendevagent/credentials', params = vim.empty_dict() })
spec.say({ id = '5', method = 'opendevagent/credentials', params = vim.empty_dict() })
equal('the first gets the key', spec.answer('4').result, { key = 'typed-3' })
equal('so does the second', spec.answer('5').result, { key = 'typed-3' })
equal('after one prompt', prompts, 1)

-- A new server gets what is in memory without a question.
prompts = 0
local old = spec.client()
vim.lsp.stop_client(old.id, true)
vim.wait(5000, function()
  return spec.client() == nil
end, 10)
spec.attach()
equal('a restarted server gets the remembered key', ask('6'), { key = 'typed-3' })
equal('without a prompt', prompts, 0)

local leaked = false
for name, kind in vim.fs.dir(vim.env.SPEC_DIR, { depth = 20 }) do
  if kind == 'file' then
    local text = table.concat(vim.fn.readfile(vim.env.SPEC_DIR .. '/' .. name), '\n')
    leaked = leaked or text:match('typed%-%d') ~= nil
  end
end
check('no key is in any file, logs included', not leaked)
