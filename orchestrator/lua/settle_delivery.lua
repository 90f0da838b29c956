-- SETTLE_DELIVERY: say what has become of an attempt.
--
-- KEYS   none
-- ARGV   delivery, token, done | moot | retry | given_up | gone, ms until the next attempt, the
--        status of the answer or empty, why
-- Reply  settled, late where it is not this courier's any more, or disabled: so is its receiver now
--
-- Checks: the figure; the token, unless it was taken in: whoever has it from a courier that is late
-- has it, and need not get it again. A second time is late.
-- Writes: the delivery, back into the outbox or among the last that are over; since when its
-- receiver has failed. One that is gone, or has taken nothing for DELIVERY_DISABLE_MS, is disabled,
-- which is told in the news, and what waits for it is let go.
-- needs: _time, _amounts, _news, _courier
local id, token, verb, delay_ms, status, why = unpack(ARGV)
local ENDS = {done = 'done', moot = 'moot', given_up = 'given_up', gone = 'given_up'}
local now, record = now_ms(), KEY.delivery .. id
if not (ENDS[verb] or verb == 'retry') then
  return refused('verb', 'done, moot, retry, given_up or gone')
elseif not amount(delay_ms) then
  return refused('delay_ms', 'not a whole number')
end
local known = redis.call('HMGET', record, 'subscription', 'state', 'token')
local subscription, is_ours = known[1], known[2] == 'sending' and known[3] == token
local is_open = known[2] == 'sending' or known[2] == 'waiting'
if not (is_ours or verb == 'done' and is_open) then
  return 'late'
end

local function let_go()
  local waiting = redis.call('ZRANGE', KEY.outbox .. subscription, 0, -1)
  redis.call('HINCRBY', KEY.stats, 'deliveries_given_up', #waiting)
  for _, delivery in ipairs(waiting) do
    redis.call('DEL', KEY.delivery .. delivery)
  end
  redis.call('DEL', KEY.outbox .. subscription)
end

local TOLD = {'task', 'tenant', 'subscription', 'why'}
local function disable(reason)
  redis.call('HSET', KEY.disabled, subscription, now .. ' ' .. reason)
  redis.call('HINCRBY', KEY.courier, 'edition', 1)
  redis.call('HINCRBY', KEY.stats, 'subscriptions_disabled', 1)
  tell('subscription.disabled', now, TOLD, {subscription = subscription, why = reason})
  let_go()
end

local function finish()
  redis.call('HSET', record, 'state', ENDS[verb], 'ended_ms', now)
  redis.call('HDEL', record, 'body', 'token')
  redis.call('LPUSH', KEY.delivered .. subscription, id)
  for _, old in ipairs(redis.call('LRANGE', KEY.delivered .. subscription, LIMIT.DELIVERIES_KEPT, -1)) do
    redis.call('DEL', KEY.delivery .. old)
  end
  redis.call('LTRIM', KEY.delivered .. subscription, 0, LIMIT.DELIVERIES_KEPT - 1)
  redis.call('ZREM', KEY.sending .. subscription, id)
  redis.call('ZREM', KEY.outbox .. subscription, id)
  redis.call('HINCRBY', KEY.stats, 'deliveries_' .. ENDS[verb], 1)
end

-- Why nothing is sent to it any more from now on, if that is so.
local function reason_to_disable()
  redis.call('HSETNX', KEY.failing, subscription, now)
  local since = tonumber(redis.call('HGET', KEY.failing, subscription))
  if redis.call('HEXISTS', KEY.disabled, subscription) == 1 then
    return nil
  elseif verb == 'gone' then
    return why
  elseif now - since >= LIMIT.DELIVERY_DISABLE_MS then
    return 'it has taken nothing for days; the last time: ' .. why
  end
end

redis.call('HSET', record, 'status', status, 'why', why)
if verb == 'retry' then
  wait_until(subscription, id, digits(now + delay_ms))
  redis.call('HINCRBY', KEY.stats, 'deliveries_failed', 1)
else
  finish()
end
local reason = nil
if verb == 'done' then
  redis.call('HDEL', KEY.failing, subscription)
elseif verb ~= 'moot' then
  reason = reason_to_disable()
end
if reason then
  disable(reason)
end
plan(subscription)
return reason and 'disabled' or 'settled'
