-- vim.g.opendevagent, what initialize carries, how the server is found, :checkhealth.
local support = require('support')
local config = require('opendevagent.config')

describe('vim.g.opendevagent', function()
  local cmd = vim.g.opendevagent.cmd
  local all = { review = true, events = true, credentials = true, status = true }

  local function problems(given)
    vim.g.opendevagent = given
    return table.concat(config.problems(), '; ')
  end

  local function init_options(given)
    vim.g.opendevagent = given
    return config.lsp().init_options
  end

  it('need not be set', function()
    assert.equal('', problems(nil))
  end)

  it('is checked field by field', function()
    assert.matches('must be a table, not a string', problems('x'))
    assert.matches('no field "cmdd"', problems({ cmdd = {} }))
    assert.matches('cmd must be a list of strings', problems({ cmd = 'opendevagent' }))
    assert.matches('settings must be a table', problems({ settings = 1 }))
    assert.matches('review must be true or false', problems({ review = 'no' }))
    assert.matches('quickfix must be true or false', problems({ quickfix = 1 }))
  end)

  it('says what the client opts in to', function()
    assert.same(all, init_options(nil).client)
    local without = { events = true, credentials = true, status = true }
    assert.same(without, init_options({ review = false }).client)
  end)

  it('is an object to the server even when empty', function()
    assert.equal('{}', vim.json.encode(init_options(nil).settings))
  end)

  describe('and the server', function()
    local told, path, initialize

    local function waiting()
      return #vim.api.nvim_get_autocmds({ group = 'opendevagent_waiting' })
    end

    setup(function()
      told = support.notifications()
      path = support.open('plain/a.py', { 'pass' })
    end)

    it('names a missing one with the remedy, and forgets the command', function()
      vim.g.opendevagent = { cmd = { 'no-such-server', 'lsp' } }
      vim.cmd('OpenDevAgent fix')
      assert.matches('"no%-such%-server" was not found; put', told[1])
      assert.equal(0, waiting())
    end)

    it('tells a wrong option at the command', function()
      vim.g.opendevagent = { cmdd = {} }
      vim.cmd('OpenDevAgent fix')
      assert.matches('no field "cmdd"', told[2])
    end)

    it('leaves no client of one that dies at once', function()
      vim.g.opendevagent = { cmd = { 'false' } }
      vim.cmd('OpenDevAgent fix')
      support.eventually(function()
        return waiting() == 0 and not support.client()
      end)
    end)

    it('runs no command of before once it starts', function()
      vim.g.opendevagent = { cmd = cmd, settings = { model = { baseUrl = 'http://127.0.0.1:1' } } }
      support.attach()
      local commands = support.heard(function(message)
        return message.method == 'workspace/executeCommand'
      end)
      assert.same({}, commands)
    end)

    it('is told options, settings and root', function()
      initialize = support.heard(function(message)
        return message.method == 'initialize'
      end)[1].params
      assert.same({
        client = all,
        settings = { model = { baseUrl = 'http://127.0.0.1:1' } },
      }, initialize.initializationOptions)
      assert.equal(vim.uri_from_fname(vim.fs.dirname(path)), initialize.rootUri)
    end)

    it(
      'has the current directory for root when that is above, and a marked one before it',
      function()
        vim.fn.chdir(vim.env.SPEC_DIR)
        assert.equal(vim.fs.normalize(vim.env.SPEC_DIR), config.root(0))
        vim.fn.writefile({}, vim.env.SPEC_DIR .. '/plain/go.mod')
        assert.equal(vim.fs.normalize(vim.fs.dirname(path)), config.root(0))
      end
    )

    it('serves further files after enable(), of the kinds it knows', function()
      require('opendevagent').enable()
      vim.cmd.edit(vim.env.SPEC_DIR .. '/plain/b.py')
      support.eventually(function()
        return require('opendevagent.client').attached(0) ~= nil
      end)
      assert.equal(1, #require('opendevagent.client').all())
      vim.cmd.enew()
      vim.bo.filetype = 'markdown'
      vim.wait(100)
      assert.is_nil(require('opendevagent.client').attached(0))
    end)
  end)
end)

describe(':checkhealth', function()
  local function report()
    vim.cmd('checkhealth opendevagent')
    return table.concat(vim.api.nvim_buf_get_lines(0, 0, -1, false), '\n')
  end

  it('looks at options, server, key and clients', function()
    local text = report()
    assert.matches('vim.g.opendevagent is valid', text)
    assert.matches('python3: Python 3', text)
    assert.matches('no key here', text)
    assert.matches('server %d+ runs for', text)
  end)

  it('says that a key is there, never which', function()
    vim.env.OPENROUTER_API_KEY = 'sk-secret'
    local text = report()
    assert.matches('a key is in %$OPEN', text)
    assert.not_matches('sk%-', text)
  end)
end)
