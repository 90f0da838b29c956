-- REST: let a task that waits for a person sleep, though there is mail that nobody can take in.
--
-- KEYS   task, mail
-- ARGV   task id, alarm ms, op
-- Reply  1, or 0 where more mail has come since the last rest: look again
--
-- Checks: the task is there and not over; the same op again is answered the same, and writes
-- nothing. Writes: how much mail there is, with the answer and the op; the alarm, which is now where
-- that has changed; that nobody holds the task.
-- needs: _time, _amounts, _bell
local alarm = amount(ARGV[2])
if not alarm then
  return refused('alarm', 'not a whole number')
end
local op = ARGV[3]
if not is_op(op) then
  return refused('op', 'not a short name of letters, digits and _.-')
end
local stored = redis.call('HMGET', KEYS[1], 'version', 'outcome', 'rested')
if not stored[1] or stored[2] then
  return 1
end
local known, answer, last = string.match(stored[3] or '', '^(%d+) (%d) (.*)$')
if last == op then
  return tonumber(answer)
end
local there = digits(redis.call('LLEN', KEYS[2]))
answer = known == there and 1 or 0
redis.call('HSET', KEYS[1], 'rested', there .. ' ' .. answer .. ' ' .. op)
redis.call('HDEL', KEYS[1], 'held_until', 'recall')
if answer == 0 then
  redis.call('ZADD', KEY.due, now_ms(), ARGV[1])
  ring(KEY.bell, 1)
else
  redis.call('ZADD', KEY.due, digits(alarm), ARGV[1])
end
return answer
