-- Leaves a line for whoever runs a task. KEYS: rows, what others say of the task. ARGV: task, line, lines at most,
-- seconds it is kept. Answers whether there is such a task.
if redis.call('HEXISTS', KEYS[1], ARGV[1]) == 0 then return 0 end
redis.call('XADD', KEYS[2], 'MAXLEN', '~', ARGV[3], '*', 'line', ARGV[2])
redis.call('EXPIRE', KEYS[2], ARGV[4])
return 1
