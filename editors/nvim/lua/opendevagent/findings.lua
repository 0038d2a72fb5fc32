-- What tasks found in the user's files: a quickfix list, when a task ends without having mended it.
local client = require('opendevagent.client')

local M = {}

--- By task and path; a later message about a path replaces the one before.
---@type table<string, table<string, opendevagent.Finding[]>>
local found = {}

local types = { error = 'E', warning = 'W', info = 'I', hint = 'N' }

--- The file that a path of a task means: paths are relative to one of the server's folders.
local function absolute(path, server)
  local folders = vim.tbl_map(function(folder)
    return vim.uri_to_fname(folder.uri)
  end, server and server.workspace_folders or {})
  for _, folder in ipairs(folders) do
    if vim.uv.fs_stat(vim.fs.joinpath(folder, path)) then
      return vim.fs.joinpath(folder, path)
    end
  end
  return folders[1] and vim.fs.joinpath(folders[1], path) or path
end

--- The byte column, from 1, of a column in characters.
local function byte_column(file, line, column)
  local bufnr = vim.fn.bufnr('^' .. file .. '$')
  local text
  if bufnr > 0 and vim.api.nvim_buf_is_loaded(bufnr) then
    text = vim.api.nvim_buf_get_lines(bufnr, line - 1, line, false)[1]
  elseif vim.fn.filereadable(file) == 1 then
    text = vim.fn.readfile(file, '', line)[line]
  end
  local before = text and vim.fn.strcharpart(text, 0, column - 1) or ''
  return #before + 1
end

local function item(path, finding, server)
  local file = absolute(path, server)
  local category = finding.category and ('[%s] '):format(finding.category) or ''
  return {
    filename = file,
    lnum = finding.line,
    col = byte_column(file, finding.line, finding.column or 1),
    type = types[finding.severity] or 'I',
    text = category .. finding.message,
  }
end

--- Whether the findings are what the user is left with.
local function remain(event, action)
  local level = event.verdict and event.verdict.level
  local mended = level == 'proven' or level == 'passing' or level == 'runs'
  return event.phase ~= 'cancelled' and (action == 'review' or not mended)
end

--- Handles `found` and `ended`.
---@param event opendevagent.Event
---@param task opendevagent.Task?
function M.on_event(event, task)
  if event.kind == 'found' then
    found[event.task] = found[event.task] or {}
    found[event.task][event.path] = event.findings
    return
  elseif event.kind ~= 'ended' then
    return
  end
  local by_path = found[event.task] or {}
  found[event.task] = nil
  if
    not task
    or not remain(event, task.action)
    or not require('opendevagent.config').options().quickfix
  then
    return
  end
  local items = {}
  local server = vim.lsp.get_client_by_id(task.client_id)
  for path, findings in vim.spairs(by_path) do
    for _, finding in ipairs(findings) do
      table.insert(items, item(path, finding, server))
    end
  end
  if #items > 0 then
    -- A list of its own: `:colder` goes back to the user's.
    vim.fn.setqflist({}, ' ', { title = 'OpenDevAgent: ' .. task.title, items = items })
    local count = #items == 1 and '1 finding' or #items .. ' findings'
    client.tell(count .. ' in the quickfix list (:copen)')
  end
end

return M
