-- CLAIM_DELIVERIES: hand out what is due, each to one courier for the length of a lease.
--
-- KEYS   the caller's last reply
-- ARGV   op
-- Reply  {now ms, when there is something to do next or false, {{delivery, its fields}, ...}}
--
-- Checks: the same op again gets the same again.
-- Writes: what was left behind by a courier that died goes back, to where it was in the order; then
-- from each receiver's outbox as many as it has places, the oldest first, with the op as the token
-- by which they are settled; when to look again; the reply, for its retry.
-- needs: _time, _amounts, _courier
local op, now = ARGV[1], now_ms()
if not is_op(op) then
  return refused('op', 'not a short name of letters, digits and _.-')
end

local function next_ms()
  local first = redis.call('ZRANGE', KEY.deliveries, 0, 0, 'WITHSCORES')
  return first[2] and tonumber(first[2]) or false
end

if redis.call('HGET', KEYS[1], 'op') == op then
  return {now, next_ms(), cmsgpack.unpack(redis.call('HGET', KEYS[1], 'reply'))}
end

local function come_back(subscription)
  for _, id in ipairs(redis.call('ZRANGEBYSCORE', KEY.sending .. subscription, '-inf', now)) do
    wait_until(subscription, id, redis.call('HGET', KEY.delivery .. id, 'due_ms'))
  end
end

local claimed = {}
local function claim(subscription, id)
  local record = KEY.delivery .. id
  redis.call('ZADD', KEY.sending .. subscription, digits(now + LIMIT.DELIVERY_LEASE_MS), id)
  redis.call('ZREM', KEY.outbox .. subscription, id)
  redis.call('HSET', record, 'state', 'sending', 'token', op)
  redis.call('HINCRBY', record, 'attempts', 1)
  table.insert(claimed, {id, redis.call('HGETALL', record)})
end

for _, subscription in ipairs(redis.call('ZRANGEBYSCORE', KEY.deliveries, '-inf', now)) do
  come_back(subscription)
  local places = LIMIT.DELIVERIES_AT_ONCE - redis.call('ZCARD', KEY.sending .. subscription)
  local due = redis.call('ZRANGEBYSCORE', KEY.outbox .. subscription, '-inf', now, 'LIMIT', 0, places)
  for _, id in ipairs(due) do
    claim(subscription, id)
  end
  plan(subscription)
end
if #claimed > 0 then
  redis.call('HSET', KEYS[1], 'op', op, 'reply', cmsgpack.pack(claimed))
  redis.call('PEXPIRE', KEYS[1], LIMIT.REPLY_KEPT_MS)
end
return {now, next_ms(), claimed}
