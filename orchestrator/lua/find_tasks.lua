-- FIND_TASKS: list tasks that fit a filter, newest first; or count them.
--
-- KEYS   none
-- ARGV   list or count; count; ms and id of the place to go on behind, or empty; stage or empty;
--        tenant or empty
-- Reply  id, accepted ms, ...; or how many there are
--
-- Writes nothing. There is an index for each filter, so no walk.
-- needs: _amounts, _in_front
local what, count, before_ms, before_id = ARGV[1], amount(ARGV[2]), ARGV[3], ARGV[4]
local stage, tenant = ARGV[5], ARGV[6]
if not count or not (before_ms == '' or amount(before_ms)) then
  return refused('figures', 'one of them is no whole number from 0 up')
elseif what ~= 'list' and what ~= 'count' then
  return refused('what', 'neither list nor count')
end

local parts = {}
if stage ~= '' then
  table.insert(parts, 'stage:' .. stage)
end
if tenant ~= '' then
  table.insert(parts, 'tenant:' .. tenant)
end
local index = #parts == 0 and KEY.tasks or KEY.tasks_by .. table.concat(parts, '|')
if what == 'count' then
  return redis.call('ZCARD', index)
elseif count == 0 then
  return {}
end
local first = before_ms == '' and 0 or in_front(index, before_ms, before_id)
return redis.call('ZREVRANGE', index, first, first + count - 1, 'WITHSCORES')
