-- `:checkhealth opendevagent`.
local M = {}

local function check_server(cmd)
  if vim.fn.executable(cmd[1]) == 0 then
    vim.health.error(('the server "%s" was not found'):format(cmd[1]), {
      'put it on PATH, or set vim.g.opendevagent = { cmd = { "/path/to/opendevagent", "lsp" } }',
    })
    return
  end
  local ok, ran = pcall(function()
    return vim.system({ cmd[1], '--version' }, { text = true }):wait(5000)
  end)
  if ok and ran.code == 0 then
    vim.health.ok(('%s: %s'):format(vim.fn.exepath(cmd[1]), vim.trim(ran.stdout)))
  else
    vim.health.error(('"%s --version" failed'):format(cmd[1]))
  end
end

local function check_key()
  local credentials = require('opendevagent.credentials')
  local source = credentials.source()
  if source == 'environment' then
    vim.health.ok('a key is in $' .. credentials.variable())
  elseif source then
    vim.health.ok('a key was entered in this session')
  else
    vim.health.info(
      ('no key here: the server may know one, else set $%s or type it at :OpenDevAgent key'):format(
        credentials.variable()
      )
    )
  end
end

function M.check()
  vim.health.start('opendevagent')
  local version = tostring(vim.version())
  if vim.fn.has('nvim-0.10') == 1 then
    vim.health.ok('Neovim ' .. version)
  else
    vim.health.error(('Neovim %s is too old'):format(version), { 'install 0.10 or later' })
  end
  local config = require('opendevagent.config')
  local problems = config.problems()
  for _, problem in ipairs(problems) do
    vim.health.error(problem, { ':help opendevagent-configuration' })
  end
  if #problems == 0 then
    vim.health.ok('vim.g.opendevagent is valid')
    check_server(config.options().cmd)
  end
  check_key()
  local attached = require('opendevagent.client').all()
  for _, client in ipairs(attached) do
    vim.health.ok(('server %d runs for %s'):format(client.id, client.root_dir or 'single files'))
  end
  if #attached == 0 then
    vim.health.info('no server runs; it starts with the first :OpenDevAgent command')
  end
  vim.health.info('model, Docker and store are checked by :OpenDevAgent doctor')
end

return M
