-- What the user set in `vim.g.opendevagent`, checked, and the client configuration made from it.
local M = {}

M.name = 'opendevagent'

local filetypes = {
  'bash',
  'c',
  'cpp',
  'cs',
  'go',
  'java',
  'javascript',
  'javascriptreact',
  'kotlin',
  'lua',
  'php',
  'python',
  'ruby',
  'rust',
  'sh',
  'swift',
  'typescript',
  'typescriptreact',
}

local root_markers = {
  '.opendevagent.toml',
  '.git',
  'pyproject.toml',
  'setup.py',
  'package.json',
  'go.mod',
  'Cargo.toml',
  'pom.xml',
  'build.gradle',
}

local function is_command(value)
  return type(value) == 'table' and type(value[1]) == 'string'
end

local flag = {
  function(value)
    return type(value) == 'boolean'
  end,
  'true or false',
}

local checks = {
  cmd = { is_command, 'a list of strings such as { "opendevagent", "lsp" }' },
  settings = {
    function(value)
      return type(value) == 'table'
    end,
    'a table of settings, see :help opendevagent-settings',
  },
  review = flag,
  quickfix = flag,
}

--- Everything wrong with `vim.g.opendevagent`, one sentence each; empty when all is well.
---@return string[]
function M.problems()
  local given = vim.g.opendevagent
  if given == nil then
    return {}
  elseif type(given) ~= 'table' then
    return { 'vim.g.opendevagent must be a table, not a ' .. type(given) }
  end
  local found = {}
  for key, value in vim.spairs(given) do
    local check = checks[key]
    if not check then
      table.insert(found, ('vim.g.opendevagent has no field "%s"'):format(key))
    elseif not check[1](value) then
      table.insert(found, ('vim.g.opendevagent.%s must be %s'):format(key, check[2]))
    end
  end
  return found
end

--- The options in force: the user's, over the defaults. Raises an error that names what is wrong.
---@return opendevagent.Options
function M.options()
  local problems = M.problems()
  if #problems > 0 then
    error(table.concat(problems, '; '), 0)
  end
  local defaults =
    { cmd = { 'opendevagent', 'lsp' }, settings = {}, review = true, quickfix = true }
  return vim.tbl_extend('force', defaults, vim.g.opendevagent or {})
end

--- The workspace of a buffer: the nearest marked directory above it, else the current directory
--- when the file lies below it, else the file's own. The home directory is none unless marked.
---@param bufnr integer
---@return string
function M.root(bufnr)
  local marked = vim.fs.root(bufnr, root_markers)
  if marked then
    return marked
  end
  local file = vim.fs.normalize(vim.api.nvim_buf_get_name(bufnr))
  local here = vim.fs.normalize(assert(vim.uv.cwd()))
  local below = vim.startswith(file, here .. '/')
  return below and here ~= vim.fs.normalize('~') and here or vim.fs.dirname(file)
end

--- A handler that loads its module with the first message.
local function lazily(module, name)
  return function(...)
    return require('opendevagent.' .. module)[name](...)
  end
end

--- The table for `vim.lsp.enable` and `vim.lsp.start`.
---@return vim.lsp.ClientConfig
function M.lsp()
  local options = M.options()
  local settings = next(options.settings) and options.settings or vim.empty_dict()
  return {
    name = M.name,
    cmd = options.cmd,
    filetypes = filetypes,
    root_dir = function(bufnr, on_dir)
      on_dir(M.root(bufnr))
    end,
    settings = { opendevagent = settings },
    init_options = {
      client = {
        review = options.review or nil,
        events = true,
        credentials = true,
        status = true,
      },
      settings = settings,
    },
    handlers = {
      ['opendevagent/event'] = lazily('tasks', 'on_event'),
      ['opendevagent/status'] = lazily('status', 'on_status'),
      ['opendevagent/credentials'] = lazily('credentials', 'on_request'),
      ['opendevagent/review'] = lazily('review', 'on_request'),
      ['window/showMessage'] = lazily('client', 'on_message'),
    },
    on_exit = vim.schedule_wrap(function(_, _, client_id)
      require('opendevagent.client').forget_waiting()
      require('opendevagent.tasks').forget(client_id)
      require('opendevagent.status').forget(client_id)
    end),
    on_init = lazily('status', 'follow_progress'),
  }
end

return M
