-- SUBMIT: accept a task, once.
--
-- KEYS   task; and the idempotency record, where the caller gave a key
-- ARGV   task id, request, tenant, retention ms, then names and values of the first fields
-- Reply  {task id, 1 if this very submission made it, now ms}
--
-- Checks: an idempotency record (it expires with its task) that stands for another task names that
-- one; the same id with the same request is a retry; the same id with another request is refused.
-- Writes: the task, its idempotency record, alarm now, index, counter, bell.
-- needs: _time, _amounts, _bell, _chunks
local id, request = ARGV[1], ARGV[2]
local now = now_ms()

if not amount(ARGV[4]) then
  return refused('retention_ms', 'not a whole number')
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

redis.call('HSET', KEYS[1], 'version', 1, 'request', request, 'tenant', ARGV[3],
  'retention_ms', ARGV[4], 'accepted_ms', now, 'idem', KEYS[2] or '')
in_chunks('HSET', KEYS[1], 5, #ARGV)
if KEYS[2] then
  redis.call('SET', KEYS[2], id)
end
redis.call('ZADD', KEY.due, now, id)
redis.call('HINCRBY', KEY.stats, 'submitted', 1)
-- The index forgets tasks whose record has expired: two looked at for each one added.
for _, oldest in ipairs(redis.call('ZRANGE', KEY.tasks, 0, 1)) do
  if redis.call('EXISTS', KEY.task .. oldest) == 0 then
    redis.call('ZREM', KEY.tasks, oldest)
  end
end
redis.call('ZADD', KEY.tasks, now, id)
ring(KEY.bell, 1)
return {id, 1, now}
