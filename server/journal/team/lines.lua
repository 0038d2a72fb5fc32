-- Lines of a task, as many as fit. KEYS: its lines. ARGV: the line seen last (empty: none), bytes in all and of one line.
-- Answers the last line's place, then the lines; one that is too long is empty.
local last = ARGV[1]
local answer = {last}
local room = tonumber(ARGV[2])
while room > 0 do
  local some = redis.call('XRANGE', KEYS[1], last == '' and '-' or '(' .. last, '+', 'COUNT', 64)
  if #some == 0 then break end
  for _, entry in ipairs(some) do
    if room <= 0 then break end
    last = entry[1]
    local line = entry[2][2] or ''
    if #line > tonumber(ARGV[3]) then line = '' end
    room = room - #line - 64
    table.insert(answer, line)
  end
end
answer[1] = last
return answer
