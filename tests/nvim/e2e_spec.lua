-- e2e.lua itself, against the scripted server.
package.path = vim.fs.dirname(debug.getinfo(1, 'S').source:sub(2)) .. '/?.lua;' .. package.path
local spec = require('spec')

local here = vim.fs.dirname(vim.fn.fnamemodify(debug.getinfo(1, 'S').source:sub(2), ':p'))
for _, review in ipairs({ '1', '0' }) do
  spec.open('add.py', { 'broken' })
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
  local ok, result = pcall(vim.json.decode, ran.stdout)
  spec.equal('review=' .. review .. ': one JSON line', ok and result, {
    buffer = 'fixed\n',
    disk = 'broken\n',
    modified = true,
    undone = 'broken\n',
    verdict = { level = 'proven', reason = 'test_add failed before and passes now' },
  })
  spec.equal('review=' .. review .. ': status', ran.code, 0)
end
