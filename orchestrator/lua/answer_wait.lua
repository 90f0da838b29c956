-- ANSWER_WAIT: take the one answer that an address is good for, and put it into the task's mail.
--
-- KEYS   task, mail
-- ARGV   hash of the address's secret, task id, the decision as mail, op
-- Reply  taken; gone where it was answered, its time is over, or nobody waits for it any more
--
-- Checks: the same op again is a retry (taken); the address is there and unused; its letter is
-- open; the task is there and not over.
-- Writes: that it is used; mail; the op among the recent ones; alarm now and bell, as POST does.
-- needs: _time, _amounts, _bell
local wait, op, now = KEY.wait .. ARGV[1], ARGV[4], now_ms()
if not is_op(op) then
  return refused('op', 'not a short name of letters, digits and _.-')
end
local letter, until_ms, used = unpack(redis.call('HMGET', wait, 'letter', 'until_ms', 'op'), 1, 3)
if used == op then
  return 'taken'
elseif used or not letter or tonumber(until_ms) <= now then
  return 'gone'
end
local version, outcome, held_until, posted =
  unpack(redis.call('HMGET', KEYS[1], 'version', 'outcome', 'held_until', 'posted'), 1, 4)
if not version or outcome or redis.call('HGET', KEY.letter .. letter, 'state') ~= 'open' then
  return 'gone'
end

redis.call('HSET', wait, 'op', op)
redis.call('RPUSH', KEYS[2], ARGV[3])
posted = string.sub(' ' .. op .. (posted or ' '), 1, LIMIT.POSTED_REMEMBERED_CHARS)
redis.call('HSET', KEYS[1], 'posted', posted)
wake(ARGV[2], held_until, now)
return 'taken'
