-- REMOVE_SUBSCRIPTION: end a subscription, and forget what waits for its receiver.
--
-- KEYS   none
-- ARGV   subscription, op
-- Reply  1, or 0 where there is none
--
-- Checks: the op again is as if once. Whoever is sending to it now finds nothing to settle.
-- Writes: the edition, the op; deliveries, and all that is kept of the receiver.
-- needs: _amounts
local id, op = ARGV[1], ARGV[2]
if not is_op(op) then
  return refused('op', 'not a short name of letters, digits and _.-')
elseif redis.call('HGET', KEY.courier, 'removed') == op then
  return 1
elseif redis.call('HEXISTS', KEY.subscriptions, id) == 0 then
  return 0
end

local function forget(deliveries)
  for _, delivery in ipairs(deliveries) do
    redis.call('DEL', KEY.delivery .. delivery)
  end
end

redis.call('HINCRBY', KEY.courier, 'edition', 1)
redis.call('HSET', KEY.courier, 'removed', op)
forget(redis.call('ZRANGE', KEY.outbox .. id, 0, -1))
forget(redis.call('ZRANGE', KEY.sending .. id, 0, -1))
forget(redis.call('LRANGE', KEY.delivered .. id, 0, -1))
for _, stem in ipairs({KEY.outbox, KEY.sending, KEY.delivered}) do
  redis.call('DEL', stem .. id)
end
for _, hash in ipairs({KEY.subscriptions, KEY.disabled, KEY.failing}) do
  redis.call('HDEL', hash, id)
end
redis.call('ZREM', KEY.deliveries, id)
return 1
