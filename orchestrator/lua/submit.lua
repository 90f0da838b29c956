-- SUBMIT: accept a task, once.
--
-- KEYS   task; and the idempotency record, where the caller gave a key
-- ARGV   task id, request, tenant, retention ms, timeout ms, then names and values of the first
--        fields
-- Reply  {task id, 1 if this very submission made it, now ms}
--
-- Checks: an idempotency record (it expires with its task) that stands for another task names that
-- one; the same id with the same request is a retry; the same id with another request is refused.
-- Writes: what _accept.lua says, and the first fields.
-- needs: _time, _amounts, _bell, _chunks, _news, _rouse, _places, _stages, _accept
local id, request, tenant, timeout_ms = ARGV[1], ARGV[2], ARGV[3], amount(ARGV[5])
local now = now_ms()

if not amount(ARGV[4]) then
  return refused('retention_ms', 'not a whole number')
elseif not timeout_ms then
  return refused('timeout_ms', 'not a whole number')
end
local holder = KEYS[2] and redis.call('GET', KEYS[2])
if holder and holder ~= id then
  return {holder, 0, now}
end
local known = redis.call('HGET', KEYS[1], 'request')
if known and known ~= request then
  return refused('task_id', 'it stands for another request already')
end
if known then
  return {id, 1, now}
end

accept(KEYS[1], KEYS[2], now, id, request, tenant, ARGV[4], timeout_ms)
in_chunks('HSET', KEYS[1], 6, #ARGV)
return {id, 1, now}
