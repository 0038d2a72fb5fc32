-- What an action is about, in LSP's words: the lines of a range, the cursor and its diagnostics, or
-- the workspace.
local M = {}

--- The length of a text in the units of a position encoding.
local measure = {
  ['utf-8'] = string.len,
  ['utf-16'] = vim.fn.strutf16len,
  ['utf-32'] = vim.fn.strchars,
}

--- An LSP position for a 0-based line and byte column; a column past the end means the line's end.
---@param bufnr integer
---@param line integer
---@param column integer
---@param encoding string
---@return lsp.Position
local function position(bufnr, line, column, encoding)
  local text = vim.api.nvim_buf_get_lines(bufnr, line, line + 1, false)[1] or ''
  return { line = line, character = measure[encoding](text:sub(1, column)) }
end

--- A diagnostic of Neovim's, from whatever source, as LSP's.
---@param diagnostic vim.Diagnostic
---@param bufnr integer
---@param encoding string
---@return lsp.Diagnostic
local function as_lsp(diagnostic, bufnr, encoding)
  local lnum, col = diagnostic.lnum, diagnostic.col
  local end_lnum, end_col = diagnostic.end_lnum or lnum, diagnostic.end_col or col
  return {
    range = {
      start = position(bufnr, lnum, col, encoding),
      ['end'] = position(bufnr, end_lnum, end_col, encoding),
    },
    message = diagnostic.message,
    -- Neovim numbers severities as LSP does.
    severity = diagnostic.severity,
    source = diagnostic.source,
    code = diagnostic.code,
  }
end

--- The lines of the range, or, without one, the cursor in the current window.
---@param invocation { range: integer, line1: integer, line2: integer }
---@return opendevagent.Target
function M.chosen(invocation)
  local bufnr = vim.api.nvim_get_current_buf()
  if invocation.range > 0 then
    return { bufnr = bufnr, first = invocation.line1 - 1, last = invocation.line2 - 1 }
  end
  local line, column = unpack(vim.api.nvim_win_get_cursor(0))
  return { bufnr = bufnr, first = line - 1, last = line - 1, column = column }
end

--- As much around a place as the user meant.
---@param scope opendevagent.Scope
---@param chosen opendevagent.Target
---@return opendevagent.Target
function M.of(scope, chosen)
  if scope == 'here' then
    return chosen
  end
  local last = vim.api.nvim_buf_line_count(chosen.bufnr) - 1
  return { bufnr = chosen.bufnr, first = 0, last = last, workspace = scope == 'workspace' }
end

--- The argument of an action.
---@param target opendevagent.Target
---@param server vim.lsp.Client
---@return opendevagent.Arguments
function M.arguments(target, server)
  local bufnr, encoding = target.bufnr, server.offset_encoding
  if target.workspace then
    local root = server.root_dir or require('opendevagent.config').root(bufnr)
    return { uri = vim.uri_from_fname(root) }
  end
  local diagnostics = {}
  for _, diagnostic in ipairs(vim.diagnostic.get(bufnr)) do
    local last = diagnostic.end_lnum or diagnostic.lnum
    if diagnostic.lnum <= target.last and last >= target.first then
      table.insert(diagnostics, as_lsp(diagnostic, bufnr, encoding))
    end
  end
  return {
    uri = vim.uri_from_bufnr(bufnr),
    range = {
      start = position(bufnr, target.first, target.column or 0, encoding),
      ['end'] = position(bufnr, target.last, target.column or vim.v.maxcol, encoding),
    },
    diagnostics = diagnostics,
  }
end

return M
