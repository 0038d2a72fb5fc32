-- :OpenDevAgent without a verb: questions, answers, ways back.
local support = require('support')

describe('the wizard', function()
  local path
  local asked, offered, script

  --- Answers each question with what the script says; false leaves the question.
  local function answer(prompt, shown, choose)
    table.insert(asked, prompt)
    offered[prompt] = shown
    local reply = table.remove(script, 1)
    assert(reply ~= nil, 'an unexpected question: ' .. prompt)
    choose(reply, shown)
  end

  local function run(replies, range)
    asked, offered, script = {}, {}, replies
    vim.cmd((range or '') .. 'OpenDevAgent')
    support.eventually(function()
      return #script == 0
    end)
    vim.wait(50)
  end

  setup(function()
    path = support.open('add.py', { 'def add(a, b):', '    return a - b' })
    vim.ui.select = function(items, options, choose)
      local shown = vim.tbl_map(options.format_item, items)
      answer(options.prompt, shown, function(reply)
        for index, words in ipairs(shown) do
          if reply and vim.startswith(words, reply) then
            return choose(items[index], index)
          end
        end
        assert(not reply, 'not offered: ' .. tostring(reply))
        choose(nil)
      end)
    end
    vim.ui.input = function(options, choose)
      answer(options.prompt, nil, function(reply)
        choose(reply or nil)
      end)
    end
  end)

  it('asks what matters for a fix, and says it all once more', function()
    run({ 'Fix', 'add.py, the whole', 'keep it short', 'pytest -q', '0,25', 'Start' })
    assert.same({
      'OpenDevAgent: what?',
      'Where?',
      'In your words (may be empty): ',
      'Check, a shell command (empty: as the project): ',
      'At most, in US dollars (empty: as the settings): ',
      'fix (add.py, the whole file); instruction: keep it short; check: pytest -q; at most $0.25',
    }, asked)
    local argument = support.command('opendevagent.fix')
    assert.equal(vim.uri_from_fname(path), argument.uri)
    assert.equal('keep it short', argument.instruction)
    assert.equal('pytest -q', argument.check)
    assert.equal(0.25, argument.budget)
    assert.same({ line = 0, character = 0 }, argument.range.start)
    assert.same({ line = 1, character = 16 }, argument.range['end'])
    support.feed('q')
  end)

  it('takes the range, and no words for none', function()
    run({ 'Generate', 'add.py, lines 1 to 2', '', 'python', ' pytest ', '', '', 'Start' }, '1,2')
    local argument = support.command('opendevagent.generate')
    assert.is_nil(argument.instruction)
    assert.is_nil(argument.check)
    assert.is_nil(argument.budget)
    assert.equal('python', argument.language)
    assert.equal('pytest', argument.framework)
  end)

  it('takes the workspace where that can be meant, and asks again for what it needs', function()
    run({ 'Plan', 'the whole workspace', '', 'a parser', 'much', '$ 2', 'Start' })
    assert.equal('The workspace alone does not say it. In your words (may be empty): ', asked[4])
    assert.equal('"much" is no sum. At most, in US dollars (empty: as the settings): ', asked[6])
    assert.truthy(asked[7]:find('^plan %(the whole workspace, .*at most %$2%.00$'))
    local argument = support.command('opendevagent.plan')
    assert.equal(vim.uri_from_fname(vim.fs.dirname(path)), argument.uri)
    assert.is_nil(argument.range)
    assert.equal(2, argument.budget)
    run({ 'Explain', false, false })
    assert.equal(2, #offered['Where?'])
  end)

  it('goes back where a question is left, over those that do not apply', function()
    run({ 'Fix', 'the whole workspace', 'quickly', false, false, false, 'Run', '', 'Start' })
    assert.equal('run (add.py, line 1)', asked[#asked])
    assert.equal(vim.uri_from_fname(path), support.command('opendevagent.run').uri)
  end)

  it('ends where the first question is left', function()
    run({ false })
    assert.same({ 'OpenDevAgent: what?' }, asked)
    run({ 'Review', false, false })
    local reviews = support.heard(function(message)
      return vim.tbl_get(message, 'params', 'command') == 'opendevagent.review'
    end)
    assert.same({}, reviews)
  end)

  it('is behind <Plug>(OpenDevAgent)', function()
    asked, offered, script = {}, {}, { false }
    vim.keymap.set('n', 'gf', '<Plug>(OpenDevAgent)')
    support.feed('gf')
    assert.same({ 'OpenDevAgent: what?' }, asked)
  end)
end)
