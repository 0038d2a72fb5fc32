-- e2e.lua itself, against the scripted server.
local support = require('support')

local here = vim.fs.dirname(vim.fn.fnamemodify(debug.getinfo(1, 'S').source:sub(2), ':p'))

describe('e2e.lua', function()
  for way, review in pairs({ ['a diff tab'] = '1', ['a question'] = '0' }) do
    it('reports a fix applied by ' .. way, function()
      support.open('add.py', { 'broken' })
      local ran = vim
        .system({ vim.v.progpath, '--clean', '--headless', '-l', here .. '/e2e.lua' }, {
          text = true,
          env = {
            OPENDEVAGENT_BIN = here .. '/server.py',
            OPENDEVAGENT_TEST_DIR = vim.env.SPEC_DIR,
            OPENDEVAGENT_TEST_FILE = 'add.py',
            OPENDEVAGENT_TEST_REVIEW = review,
          },
        })
        :wait(20000)
      assert.same({
        buffer = 'fixed\n',
        disk = 'broken\n',
        modified = true,
        undone = 'broken\n',
        asked = 0,
        phase = 'complete',
        told = {},
        verdict = { level = 'proven', reason = 'test_add failed before and passes now' },
      }, vim.json.decode(ran.stdout))
      assert.equal(0, ran.code)
    end)
  end
end)
