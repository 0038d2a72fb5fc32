-- A proposal shown as a diff in a tab of its own: a applies, q discards, closing the tab decides
-- nothing, so that the proposal stays in the file's code actions.
local client = require('opendevagent.client')
local scratch = require('opendevagent.scratch')

local M = {}

--- One side of the diff; nil text means that the file does not exist on that side.
---@param name string
---@param text string?
---@param path string
---@return integer bufnr
local function buffer_of(name, text, path)
  local bufnr = scratch.buffer(name .. '/' .. path, true)
  local lines = vim.split((text or ''):gsub('\r\n', '\n'):gsub('\n$', ''), '\n')
  vim.api.nvim_buf_set_lines(bufnr, 0, -1, false, lines)
  vim.bo[bufnr].modifiable = false
  local filetype = vim.filetype.match({ filename = path, buf = bufnr })
  -- Only the colours: a filetype would start other plugins on a text that is no file.
  vim.bo[bufnr].syntax = filetype or ''
  return bufnr
end

--- What stands above the two sides. "%<" says where to cut when the window is narrow, and a percent
--- sign of the model's must not act as an item.
---@param review opendevagent.Review
---@param index integer
---@return string left, string right
local function banners(review, index)
  local verdict = review.verdict and (' (%s)'):format(review.verdict.level) or ''
  local title = (review.title .. verdict):gsub('%%', '%%%%')
  local files = #review.files > 1 and (' ]f file %d of %d '):format(index, #review.files) or ''
  return ' ' .. title .. '%<', (' a apply  q discard %s%%< ]c next change'):format(files)
end

--- The two buffers of every file.
---@param review opendevagent.Review
---@return { before: integer, after: integer }[]
local function both_sides(review)
  return vim.tbl_map(function(file)
    local path = vim.fn.fnamemodify(vim.uri_to_fname(file.uri), ':.')
    return {
      before = buffer_of(review.task .. '/before', file.before, path),
      after = buffer_of(review.task .. '/after', file.after, path),
    }
  end, review.files)
end

--- A tab with two windows, and the function that shows a file's sides in them.
---@param review opendevagent.Review
---@param sides { before: integer, after: integer }[]
---@return integer tab, fun(step: integer) show
local function layout(review, sides)
  vim.cmd.tabnew()
  vim.bo.bufhidden = 'wipe'
  local left = vim.api.nvim_get_current_win()
  vim.cmd('rightbelow vsplit')
  local right = vim.api.nvim_get_current_win()
  local index = 1
  local function fill(window, bufnr, banner)
    -- The user may have closed one of the two.
    if not vim.api.nvim_win_is_valid(window) then
      return
    end
    vim.api.nvim_win_call(window, function()
      vim.cmd.diffoff()
      vim.api.nvim_win_set_buf(window, bufnr)
      vim.cmd.diffthis()
    end)
    vim.wo[window].winbar = banner
  end
  local function show(step)
    index = (index - 1 + step) % #sides + 1
    local banner_left, banner_right = banners(review, index)
    fill(left, sides[index].before, banner_left)
    fill(right, sides[index].after, banner_right)
  end
  show(0)
  return vim.api.nvim_get_current_tabpage(), show
end

--- Opens the tab. `decide` is called once.
---@param review opendevagent.Review
---@param decide fun(decision: 'apply'|'discard'|'later')
local function open(review, decide)
  assert(#review.files > 0, 'it names no file')
  local sides = both_sides(review)
  local tab, show = layout(review, sides)
  local group = vim.api.nvim_create_augroup('opendevagent_review_' .. tab, { clear = true })

  local function finish(decision)
    vim.api.nvim_del_augroup_by_id(group)
    if vim.api.nvim_tabpage_is_valid(tab) then
      vim.cmd.tabclose(vim.api.nvim_tabpage_get_number(tab))
    end
    for _, side in ipairs(sides) do
      vim.api.nvim_buf_delete(side.before, { force = true })
      vim.api.nvim_buf_delete(side.after, { force = true })
    end
    decide(decision)
  end

  -- The tab is still there while TabClosed runs.
  vim.api.nvim_create_autocmd('TabClosed', {
    group = group,
    callback = vim.schedule_wrap(function()
      if not vim.api.nvim_tabpage_is_valid(tab) then
        finish('later')
      end
    end),
  })
  local keys = {
    a = { 'Apply', finish, 'apply' },
    q = { 'Discard', finish, 'discard' },
    [']f'] = { 'Next file', show, 1 },
    ['[f'] = { 'Previous file', show, -1 },
  }
  for key, meaning in pairs(keys) do
    local function act()
      meaning[2](meaning[3])
    end
    local options = { nowait = true, desc = 'OpenDevAgent: ' .. meaning[1] }
    for _, side in ipairs(sides) do
      for _, bufnr in pairs(side) do
        vim.keymap.set('n', key, act, vim.tbl_extend('error', options, { buffer = bufnr }))
      end
    end
  end
end

--- Calls back in normal mode, so that a tab never opens under someone's typing.
---@param title string
---@param callback fun()
local function when_idle(title, callback)
  if vim.list_contains({ 'n', 'nt' }, vim.api.nvim_get_mode().mode) then
    return callback()
  end
  client.tell(title .. ': the proposal opens once you are in Normal mode')
  vim.api.nvim_create_autocmd('ModeChanged', {
    pattern = { '*:n', '*:nt' },
    once = true,
    callback = vim.schedule_wrap(function()
      when_idle(title, callback)
    end),
  })
end

--- Handles `opendevagent/review`; Neovim runs it in a coroutine, which waits for the decision.
---@param review opendevagent.Review
function M.on_request(_, review)
  local waiting = coroutine.running()
  local function decide(decision)
    coroutine.resume(waiting, { decision = decision })
  end
  vim.schedule(function()
    when_idle(review.title, function()
      local ok, problem = pcall(open, review, decide)
      if not ok then
        client.tell('cannot show the proposal: ' .. problem, vim.log.levels.ERROR)
        decide('later')
      end
    end)
  end)
  return coroutine.yield()
end

return M
