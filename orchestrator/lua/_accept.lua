-- Make a task of a request that has been checked: the task, its idempotency record, indexes, counter,
-- the news; and a place at work for it, with alarm now and bell. Where its tenant has all of its places
-- taken, the task waits for one instead, and its alarm is its deadline.
local function take_place(key, id, tenant, now)
  count_at_work(tenant, 1)
  redis.call('HSET', key, 'place', 'work')
  redis.call('ZADD', KEY.due, now, id)
  ring(KEY.bell, 1)
end

local function wait_for_place(key, id, tenant, deadline_ms)
  redis.call('HSET', key, 'place', 'waiting')
  redis.call('ZADD', KEY.waiting .. tenant, redis.call('INCR', KEY.arrivals), id)
  redis.call('ZADD', KEY.due, digits(deadline_ms), id)
end

local function accept(key, idem, now, id, request, tenant, retention_ms, timeout_ms)
  redis.call('HSET', key, 'version', 1, 'request', request, 'tenant', tenant,
    'retention_ms', retention_ms, 'accepted_ms', now, 'idem', idem or '')
  if idem then
    redis.call('SET', idem, id)
  end
  redis.call('HINCRBY', KEY.stats, 'submitted', 1)
  index_task(id, now, tenant)
  if at_work(tenant) < places_of(tenant) then
    take_place(key, id, tenant, now)
  else
    wait_for_place(key, id, tenant, now + timeout_ms)
  end
  tell('task.accepted', now, {'task', 'tenant'}, {task = id, tenant = tenant})
end
