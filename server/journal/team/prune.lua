-- Lets go of ended tasks that are too old, then of the oldest until the rest fits. A task that nobody ended is too old
-- by when it began. KEYS: rows, reach, changes. ARGV: ms a task is kept, bytes in all, tasks at most, how keys of lines
-- and of what others say begin, changes kept. Answers how many went.
local time = redis.call('TIME')
local oldest = time[1] * 1000 - ARGV[1]
local room, count, gone = tonumber(ARGV[2]), tonumber(ARGV[3]), 0
local tasks = redis.call('HKEYS', KEYS[1])
table.sort(tasks, function(a, b) return a > b end)
for _, task in ipairs(tasks) do
  local fine, row = pcall(cjson.decode, redis.call('HGET', KEYS[1], task))
  if not fine or type(row) ~= 'table' then row = {} end
  local ended, begun = tonumber(row.ended), tonumber(row.begun) or 0
  local bytes = tonumber(redis.call('ZSCORE', KEYS[2], task)) or 0
  local fits = bytes <= room and count > 0
  room, count = math.max(0, room - bytes), count - 1
  if (ended or begun) < oldest or (ended and not fits) then
    redis.call('HDEL', KEYS[1], task)
    redis.call('ZREM', KEYS[2], task)
    redis.call('UNLINK', ARGV[4] .. task, ARGV[5] .. task)
    redis.call('XADD', KEYS[3], 'MAXLEN', '~', ARGV[6], '*', 'task', task)
    gone = gone + 1
  end
end
return gone
