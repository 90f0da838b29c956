-- REST: let a task that waits for a person sleep, though there is mail that nobody can take in.
--
-- KEYS   task, mail
-- ARGV   task id, alarm ms
-- Reply  1, or 0 where more mail has come since the last rest: look again
--
-- Checks: the task is there and not over. Writes: how much mail there is; the alarm, which is now
-- where that has changed; that nobody holds the task.
-- needs: _time, _amounts, _bell
local alarm = amount(ARGV[2])
if not alarm then
  return refused('alarm', 'not a whole number')
end
local stored = redis.call('HMGET', KEYS[1], 'version', 'outcome', 'rested')
if not stored[1] or stored[2] then
  return 1
end
local there = digits(redis.call('LLEN', KEYS[2]))
redis.call('HDEL', KEYS[1], 'held_until', 'recall')
if stored[3] ~= there then
  redis.call('HSET', KEYS[1], 'rested', there)
  redis.call('ZADD', KEY.due, now_ms(), ARGV[1])
  ring(KEY.bell, 1)
  return 0
end
redis.call('ZADD', KEY.due, digits(alarm), ARGV[1])
return 1
