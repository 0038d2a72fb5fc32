-- How far the lines of tasks are here, as many numbers as tasks. KEYS: reach. ARGV: tasks.
local answer = {}
for at, task in ipairs(ARGV) do
  answer[at] = redis.call('ZSCORE', KEYS[1], task) or '0'
end
return answer
