-- Deliveries: each waits in its receiver's outbox, or is being sent until its lease ends. A receiver
-- stands among `deliveries` by when there is something to do for it.

-- Where its places are all taken, that is when the first of their leases ends.
local function plan(subscription)
  local sending = redis.call('ZRANGE', KEY.sending .. subscription, 0, 0, 'WITHSCORES')
  local waiting = redis.call('ZRANGE', KEY.outbox .. subscription, 0, 0, 'WITHSCORES')
  local at = tonumber(sending[2] or math.huge)
  if redis.call('ZCARD', KEY.sending .. subscription) < LIMIT.DELIVERIES_AT_ONCE then
    at = math.min(at, tonumber(waiting[2] or math.huge))
  end
  if at == math.huge then
    redis.call('ZREM', KEY.deliveries, subscription)
  else
    redis.call('ZADD', KEY.deliveries, at, subscription)
  end
end

-- Put a delivery back into the outbox. It is there before it is gone from elsewhere: a full server
-- refuses the first, and would allow the second.
local function wait_until(subscription, delivery, due_ms)
  redis.call('ZADD', KEY.outbox .. subscription, due_ms, delivery)
  redis.call('HSET', KEY.delivery .. delivery, 'state', 'waiting', 'due_ms', due_ms)
  redis.call('ZREM', KEY.sending .. subscription, delivery)
end
