-- Declares the command and the <Plug> maps; everything behind them is loaded when first used.
if vim.g.loaded_opendevagent then
  return
end
vim.g.loaded_opendevagent = true

vim.api.nvim_create_user_command('OpenDevAgent', function(invocation)
  require('opendevagent.command').execute(invocation)
end, {
  nargs = '+',
  range = true,
  desc = 'Plan, write and repair code with OpenDevAgent',
  complete = function(lead, line)
    return require('opendevagent.command').complete(lead, line)
  end,
})

-- In visual mode the ":" puts the selected lines in front as a range.
local verbs = 'plan generate fix tests review explain run cancel tasks log key doctor'
for verb in verbs:gmatch('%a+') do
  local plug = ('<Plug>(OpenDevAgent%s)'):format((verb:gsub('^%l', string.upper)))
  local desc = 'OpenDevAgent: ' .. verb
  vim.keymap.set('n', plug, ('<Cmd>OpenDevAgent %s<CR>'):format(verb), { desc = desc })
  vim.keymap.set('x', plug, (':OpenDevAgent %s<CR>'):format(verb), { desc = desc, silent = true })
end
