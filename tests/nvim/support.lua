-- What the specs share: a file in a workspace of its own, the scripted server, and waiting.
local M = {}

--- Waits until the condition holds.
function M.eventually(condition)
  if not vim.wait(5000, condition, 10) then
    error('it did not come to pass', 2)
  end
end

--- Opens a file with these lines, under the directory that run.sh gives each spec.
function M.open(name, lines)
  local path = vim.env.SPEC_DIR .. '/' .. name
  vim.fn.mkdir(vim.fs.dirname(path), 'p')
  vim.fn.writefile(lines, path)
  vim.cmd.edit(path)
  return path
end

function M.client()
  return require('opendevagent.client').all()[1]
end

--- Starts the server for the current buffer and waits until it is attached.
function M.attach()
  local ready = false
  require('opendevagent.client').with(0, function()
    ready = true
  end)
  assert(
    vim.wait(5000, function()
      return ready
    end, 10),
    'the scripted server did not attach'
  )
end

--- Has the server send a message as it is.
function M.say(message)
  local server = M.client()
  if vim.fn.has('nvim-0.11') == 1 then
    server:notify('test/say', message)
  else
    server.notify('test/say', message)
  end
end

--- What the server heard, filtered.
function M.heard(filter)
  filter = filter or function()
    return true
  end
  local all
  local server = M.client()
  if not server then
    return {}
  end
  require('opendevagent.client').request(server, 'test/heard', vim.empty_dict(), function(result)
    all = result
  end)
  vim.wait(5000, function()
    return all ~= nil
  end, 10)
  return vim.tbl_filter(filter, all or {})
end

--- The server's answer to its own request `id`, once it came.
function M.answer(id)
  local found
  vim.wait(5000, function()
    found = M.heard(function(message)
      return message.id == id and not message.method
    end)[1]
    return found ~= nil
  end, 50)
  return found
end

--- The arguments of the last command of this name that the server got.
function M.command(name)
  local found
  vim.wait(5000, function()
    local all = M.heard(function(message)
      return message.method == 'workspace/executeCommand' and message.params.command == name
    end)
    found = all[#all]
    return found ~= nil
  end, 50)
  return found and found.params.arguments[1]
end

--- Has the server send one event of a task.
function M.event(fields)
  M.say({
    method = 'opendevagent/event',
    params = vim.tbl_extend('force', { task = 'x', seq = 1, at = 0 }, fields),
  })
end

--- The text of the current buffer.
function M.text()
  return table.concat(vim.api.nvim_buf_get_lines(0, 0, -1, false), '\n')
end

--- Collects what vim.notify is told.
function M.notifications()
  local all = {}
  vim.notify = function(message)
    table.insert(all, message)
  end
  return all
end

function M.feed(keys)
  vim.api.nvim_feedkeys(vim.keycode(keys), 'xt', false)
end

return M
