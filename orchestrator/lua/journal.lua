-- JOURNAL: read a task's history from a place on.
--
-- KEYS   task, journal
-- ARGV   the place of the first line wanted, how many
-- Reply  {the place of the first line given, lines, 1 if there are more}
--
-- Lines are counted from 0 for ever, even when the oldest have been dropped: a place that was dropped
-- gives the first one kept. Writes nothing.
-- needs: _amounts
local wanted, count = amount(ARGV[1]), amount(ARGV[2])
if not wanted then
  return refused('after', 'not a whole number from 0 up')
elseif not count then
  return refused('count', 'not a whole number from 0 up')
end
local kept = redis.call('LLEN', KEYS[2])
local noted = tonumber(redis.call('HGET', KEYS[1], 'noted') or kept)
local first = math.max(wanted, noted - kept)
local at = first - (noted - kept)
local lines = count == 0 and {} or redis.call('LRANGE', KEYS[2], at, at + count - 1)
return {first, lines, first + #lines < noted and 1 or 0}
