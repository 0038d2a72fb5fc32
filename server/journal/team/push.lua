-- Takes the lines of a task over, once each: those from one place in its file to another, if nothing stands there yet.
-- Answers how far the task's lines reach now.
-- KEYS: rows, reach, changes, the task's lines. ARGV: task, from, to, row (empty: as it is), lines of a task at most,
-- changes kept, lines.
local reach = redis.call('ZSCORE', KEYS[2], ARGV[1]) or '0'
if tonumber(reach) ~= tonumber(ARGV[2]) then return reach end
for at = 7, #ARGV do
  redis.call('XADD', KEYS[4], 'MAXLEN', '~', ARGV[5], '*', 'line', ARGV[at])
end
redis.call('ZADD', KEYS[2], ARGV[3], ARGV[1])
if ARGV[4] ~= '' then
  redis.call('HSET', KEYS[1], ARGV[1], ARGV[4])
end
redis.call('XADD', KEYS[3], 'MAXLEN', '~', ARGV[6], '*', 'task', ARGV[1])
return ARGV[3]
