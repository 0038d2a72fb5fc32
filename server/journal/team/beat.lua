-- Says that a server is there. KEYS: servers by when they are given up, what they say of themselves.
-- ARGV: server (empty: none), what it says, ms it counts, servers at most, bytes of one's words at most.
-- Answers all that are there: name and words by turns.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
for _, gone in ipairs(redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now)) do
  redis.call('HDEL', KEYS[2], gone)
end
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now)
if ARGV[1] ~= '' and redis.call('ZCARD', KEYS[1]) < tonumber(ARGV[4]) then
  redis.call('ZADD', KEYS[1], now + ARGV[3], ARGV[1])
  redis.call('HSET', KEYS[2], ARGV[1], ARGV[2])
end
local answer = {}
for _, server in ipairs(redis.call('ZRANGE', KEYS[1], 0, ARGV[4] - 1)) do
  local words = redis.call('HGET', KEYS[2], server) or ''
  if #server + #words <= tonumber(ARGV[5]) then
    table.insert(answer, server)
    table.insert(answer, words)
  end
end
return answer
