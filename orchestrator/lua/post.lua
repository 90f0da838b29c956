-- POST: put a letter from outside into a task's mail.
--
-- KEYS   task, mail
-- ARGV   task id, letter, op
-- Reply  1, or 0 where there is no such task or it is over
--
-- Checks: the op is not among the recent ones (a retry: 1); the task is there and not over, so
-- that no mail comes into being which nobody will ever read.
-- Writes: mail; the op among the recent ones; alarm now and bell, unless the task is held.
-- needs: _time, _amounts, _bell
local op = ARGV[3]
if not is_op(op) then
  return refused('op', 'not a short name of letters, digits and _.-')
end
local stored = redis.call('HMGET', KEYS[1], 'version', 'outcome', 'held_until', 'posted')
local posted = stored[4] or ' '
if string.find(posted, ' ' .. op .. ' ', 1, true) then
  return 1
end
if not stored[1] or stored[2] then
  return 0
end

redis.call('RPUSH', KEYS[2], ARGV[2])
posted = string.sub(' ' .. op .. posted, 1, LIMIT.POSTED_REMEMBERED_CHARS)
redis.call('HSET', KEYS[1], 'posted', posted)
wake(ARGV[1], stored[3], now_ms())
return 1
