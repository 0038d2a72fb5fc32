-- The rows that have changed since, or all of them where nobody knows what has. A row that is gone is empty.
-- KEYS: rows, changes. ARGV: the change seen last (empty: none), rows at most, bytes of a row at most.
-- Answers `some` or `all`, the last change, then task and row by turns.
local function row(text) return text and #text <= tonumber(ARGV[3]) and text or '' end
local last = redis.call('XREVRANGE', KEYS[2], '+', '-', 'COUNT', 1)
last = last[1] and last[1][1] or ''
local answer = {'some', last}
if redis.call('HLEN', KEYS[1]) > tonumber(ARGV[2]) or redis.call('XLEN', KEYS[2]) > tonumber(ARGV[2]) then
  return redis.error_reply('TOOMANY there are more tasks or changes than it may keep')
end
if ARGV[1] ~= '' and #redis.call('XRANGE', KEYS[2], ARGV[1], ARGV[1]) == 1 then
  local seen = {}
  for _, change in ipairs(redis.call('XRANGE', KEYS[2], '(' .. ARGV[1], '+')) do
    local task = change[2][2]
    if #task <= 64 and not seen[task] then
      seen[task] = true
      table.insert(answer, task)
      table.insert(answer, row(redis.call('HGET', KEYS[1], task)))
    end
  end
  return answer
end
answer[1] = 'all'
local all = redis.call('HGETALL', KEYS[1])
for at = 1, #all, 2 do
  if #all[at] <= 64 then
    table.insert(answer, all[at])
    table.insert(answer, row(all[at + 1]))
  end
end
return answer
