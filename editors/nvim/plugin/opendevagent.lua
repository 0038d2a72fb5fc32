-- Declares the command and the <Plug> maps; everything behind them is loaded when first used.
if vim.g.loaded_opendevagent then
  return
end
vim.g.loaded_opendevagent = true

vim.api.nvim_create_user_command('OpenDevAgent', function(invocation)
  require('opendevagent.command').execute(invocation)
end, {
  nargs = '*',
  range = true,
  desc = 'Plan, write and repair code with OpenDevAgent',
  complete = function(lead, line)
    return require('opendevagent.command').complete(lead, line)
  end,
})

-- In visual mode the ":" puts the selected lines in front as a range.
local function plug(name, command, desc)
  vim.keymap.set('n', name, ('<Cmd>%s<CR>'):format(command), { desc = desc })
  vim.keymap.set('x', name, (':%s<CR>'):format(command), { desc = desc, silent = true })
end

plug('<Plug>(OpenDevAgent)', 'OpenDevAgent', 'OpenDevAgent: ask what to do')
local verbs = 'plan generate fix tests review explain run cancel tasks dashboard log key doctor'
for verb in verbs:gmatch('%a+') do
  local name = ('<Plug>(OpenDevAgent%s)'):format((verb:gsub('^%l', string.upper)))
  plug(name, 'OpenDevAgent ' .. verb, 'OpenDevAgent: ' .. verb)
end
