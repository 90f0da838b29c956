-- SUBMIT: accept a task, once.
--
-- KEYS   task; and the idempotency record, where the caller gave a key
-- ARGV   task id, request, tenant, retention ms, timeout ms, then names and values of the first
--        fields
-- Reply  {task id, 1 if this very submission made it, now ms}
--
-- Checks: an idempotency record (it expires with its task) that stands for another task names that
-- one; the same id with the same request is a retry; the same id with another request is refused.
-- Writes: the task, its idempotency record, indexes, counter, the news; and a place at work for it,
-- with alarm now and bell. Where its tenant has all of its places taken, the task waits for one instead, and
-- its alarm is its deadline.
-- needs: _time, _amounts, _bell, _chunks, _news, _rouse, _places, _stages
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

local function take_place()
  count_at_work(tenant, 1)
  redis.call('HSET', KEYS[1], 'place', 'work')
  redis.call('ZADD', KEY.due, now, id)
  ring(KEY.bell, 1)
end

local function wait_for_place()
  redis.call('HSET', KEYS[1], 'place', 'waiting')
  redis.call('ZADD', KEY.waiting .. tenant, redis.call('INCR', KEY.arrivals), id)
  redis.call('ZADD', KEY.due, digits(now + timeout_ms), id)
end

redis.call('HSET', KEYS[1], 'version', 1, 'request', request, 'tenant', tenant,
  'retention_ms', ARGV[4], 'accepted_ms', now, 'idem', KEYS[2] or '')
in_chunks('HSET', KEYS[1], 6, #ARGV)
if KEYS[2] then
  redis.call('SET', KEYS[2], id)
end
redis.call('HINCRBY', KEY.stats, 'submitted', 1)
index_task(id, now, tenant)
if at_work(tenant) < places_of(tenant) then
  take_place()
else
  wait_for_place()
end
tell('task.accepted', now, {'task', 'tenant'}, {task = id, tenant = tenant})
return {id, 1, now}
