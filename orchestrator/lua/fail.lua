-- FAIL: count one more decision about a task that could not be made.
--
-- KEYS   task
-- ARGV   op
-- Reply  how many failed in a row, or 0 where there is no such task or it is over
--
-- The next COMMIT forgets the count. Checks: the same op again is counted once.
-- Writes: the count and the op, in one field.
-- needs: _amounts
local op = ARGV[1]
if not is_op(op) then
  return refused('op', 'not a short name of letters, digits and _.-')
end
local stored = redis.call('HMGET', KEYS[1], 'version', 'outcome', 'failed')
if not stored[1] or stored[2] then
  return 0
end
local count, last = string.match(stored[3] or '0 ', '^(%d+) (.*)$')
if last ~= op then
  count = tonumber(count) + 1
  redis.call('HSET', KEYS[1], 'failed', count .. ' ' .. op)
end
return tonumber(count)
