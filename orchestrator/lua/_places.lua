-- A tenant has a number of places at work. A task without one waits in the order of arrival, and
-- is admitted by whatever frees a place.
local function places_of(tenant)
  return tonumber(redis.call('HGET', KEY.caps, 'tenant:' .. tenant) or LIMIT.TENANT_TASKS_MAX)
end

local function at_work(tenant)
  return tonumber(redis.call('HGET', KEY.atwork, tenant) or 0)
end

local function count_at_work(tenant, by)
  if redis.call('HINCRBY', KEY.atwork, tenant, by) == 0 then
    redis.call('HDEL', KEY.atwork, tenant)
  end
end

-- Returns how many were admitted: at most a bounded number at a time.
local function admit(tenant, now)
  if redis.call('EXISTS', KEY.waiting .. tenant) == 0 then
    return 0
  end
  local free = math.min(places_of(tenant) - at_work(tenant), LIMIT.ADMIT_MAX)
  if free <= 0 then
    return 0
  end
  local tasks = redis.call('ZRANGE', KEY.waiting .. tenant, 0, free - 1)
  for _, task in ipairs(tasks) do
    redis.call('ZREM', KEY.waiting .. tenant, task)
    redis.call('HSET', KEY.task .. task, 'place', 'work')
    rouse(task, now)
  end
  if #tasks > 0 then
    count_at_work(tenant, #tasks)
  end
  return #tasks
end
