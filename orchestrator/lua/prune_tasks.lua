-- PRUNE_TASKS: forget in the indexes those tasks whose record has expired.
--
-- KEYS   none
-- ARGV   none
-- Reply  how many were forgotten: LIMIT.PRUNE_MAX where there may be more
--
-- Writes: it only removes, which a full server allows. Pruning twice is pruning once.
-- needs: _time, _amounts, _stages
local lines = redis.call('ZRANGEBYSCORE', KEY.expiring, '-inf', now_ms(), 'LIMIT', 0,
  LIMIT.PRUNE_MAX)
for _, line in ipairs(lines) do
  forget_task(line)
end
return #lines
