-- RESERVE: say which task an idempotency key is to stand for, and in which cell, before it is
-- submitted there. Asked in the one cell on which all lists of cells agree (cells/ranking.py).
--
-- KEYS   the idempotency record; beside it, the cell of a task that is not in this one
-- ARGV   task id, cell, how long it is kept in ms
-- Reply  {task id, cell or empty}: this one, or what the key stands for already. Empty: a task of
--        this cell
--
-- Writes: both, where nobody has used the key. The task's own cell has a record of its own, so
-- this one need last no longer than somebody tries again.
-- needs: _amounts
local holder = redis.call('GET', KEYS[1])
if holder then
  return {holder, redis.call('GET', KEYS[2]) or ''}
elseif not amount(ARGV[3]) then
  return refused('kept_ms', 'not a whole number')
end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[3])
redis.call('SET', KEYS[2], ARGV[2], 'PX', ARGV[3])
return {ARGV[1], ARGV[2]}
