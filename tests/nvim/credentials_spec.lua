-- opendevagent/credentials and :OpenDevAgent key.
local support = require('support')

describe('the key', function()
  local prompts, typed = 0, nil

  local function ask(id)
    support.say({ id = id, method = 'opendevagent/credentials', params = vim.empty_dict() })
    return support.answer(id).result
  end

  setup(function()
    support.open('a.py', { 'pass' })
    support.attach()
    vim.fn.inputsecret = function()
      prompts = prompts + 1
      return typed
    end
  end)

  it('comes from the environment without a question', function()
    vim.env.OPENROUTER_API_KEY = 'from-env'
    assert.same({ key = 'from-env' }, ask('1'))
    assert.equal(0, prompts)
  end)

  it('is asked for when that one was refused', function()
    typed = '  typed-1 '
    assert.same({ key = 'typed-1' }, ask('2'))
    assert.equal(1, prompts)
  end)

  it('may be left out', function()
    typed = ''
    local null = ask('3')
    assert.is_true(null == nil or null == vim.NIL)
    assert.equal(2, prompts)
  end)

  it('stays as it was when :OpenDevAgent key is left empty', function()
    local told = support.notifications()
    vim.cmd('OpenDevAgent key')
    assert.matches('nothing changed', told[1])
  end)

  it('is handed to the running server, which says what it is worth', function()
    local told = support.notifications()
    typed = 'typed-2'
    vim.cmd('OpenDevAgent key')
    support.eventually(function()
      local sent = support.heard(function(message)
        return message.method == 'opendevagent/setKey'
      end)[1]
      return sent and sent.params.key == 'typed-2'
    end)
    support.eventually(function()
      return vim.list_contains(told, 'OpenDevAgent: the key was refused')
    end)
  end)

  it('is asked for once by all who ask meanwhile', function()
    typed = 'typed-3'
    prompts = 0
    vim.fn.inputsecret = function()
      prompts = prompts + 1
      vim.wait(300)
      return typed
    end
    support.say({ id = '4', method = 'opendevagent/credentials', params = vim.empty_dict() })
    support.say({ id = '5', method = 'opendevagent/credentials', params = vim.empty_dict() })
    assert.same({ key = 'typed-3' }, support.answer('4').result)
    assert.same({ key = 'typed-3' }, support.answer('5').result)
    assert.equal(1, prompts)
  end)

  it('is remembered for a new server', function()
    prompts = 0
    local old = support.client()
    vim.lsp.stop_client(old.id, true)
    vim.wait(5000, function()
      return support.client() == nil
    end, 10)
    support.attach()
    assert.same({ key = 'typed-3' }, ask('6'))
    assert.equal(0, prompts)
  end)

  it('is in no file, logs included', function()
    for name, kind in vim.fs.dir(vim.env.SPEC_DIR, { depth = 20 }) do
      if kind == 'file' then
        local text = table.concat(vim.fn.readfile(vim.env.SPEC_DIR .. '/' .. name), '\n')
        assert.not_matches('typed%-%d', text, name)
      end
    end
  end)
end)
