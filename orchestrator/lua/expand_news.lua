-- EXPAND_NEWS: move on in the news, and write what the lines passed become for each receiver.
--
-- KEYS   none
-- ARGV   op, the place before, the place after, the edition of the subscriptions; then for each
--        delivery: id, subscription, event, about, letter or empty, body, cause or empty, ms to
--        wait for company, ms of quiet afterwards
-- Reply  1, or 0 where another courier has moved on, or a subscription has changed, meanwhile
--
-- Checks, before any write: every figure; that the op is not the last one (a retry: 1); the place
-- and the edition.
-- Writes: the place, the op; deliveries. One with a cause joins the message of its cause that has
-- not been sent yet; else it begins one, which waits for company and until the quiet time is over.
-- What a full outbox has no room for is counted only.
-- needs: _time, _amounts, _courier
local op, before, after, edition = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local now, FIRST, DELIVERY_ARGS = now_ms(), 5, 9
if not is_op(op) then
  return refused('op', 'not a short name of letters, digits and _.-')
end
for i = FIRST, #ARGV, DELIVERY_ARGS do
  if not (amount(ARGV[i + 7]) and amount(ARGV[i + 8])) then
    return refused('figures', 'one of them is no whole number from 0 up')
  end
end
local known = redis.call('HMGET', KEY.courier, 'op', 'place', 'edition')
if known[1] == op then
  return 1
elseif (known[2] or '0-0') ~= before or (known[3] or '0') ~= edition then
  return 0
end

local function add_letter(delivery, letter)
  if redis.call('HINCRBY', KEY.delivery .. delivery, 'letters', 1) <= LIMIT.CAUSE_LETTERS_MAX then
    local named = redis.call('HGET', KEY.delivery .. delivery, 'named')
    redis.call('HSET', KEY.delivery .. delivery, 'named', named .. '\n' .. letter)
  end
end

-- When a message of this cause may be sent, and whether one was sent shortly before; or nothing
-- where this has joined one that waits.
local function join(i, subscription)
  local cause = KEY.cause .. subscription .. '/' .. ARGV[i + 6]
  local told = redis.call('HMGET', cause, 'delivery', 'free_ms')
  if told[1] and redis.call('ZSCORE', KEY.outbox .. subscription, told[1]) then
    add_letter(told[1], ARGV[i + 4])
    return nil
  end
  local free_ms = tonumber(told[2] or 0)
  local due_ms = math.max(now + amount(ARGV[i + 7]), free_ms)
  local quiet_until = due_ms + amount(ARGV[i + 8])
  redis.call('HSET', cause, 'delivery', ARGV[i], 'free_ms', digits(quiet_until))
  redis.call('PEXPIRE', cause, digits(quiet_until - now + LIMIT.CAUSE_KEPT_MS))
  return due_ms, free_ms > now and '1' or ''
end

local function write_delivery(i, subscription, due_ms, more)
  redis.call('HSET', KEY.delivery .. ARGV[i], 'subscription', subscription, 'event', ARGV[i + 2],
    'about', ARGV[i + 3], 'named', ARGV[i + 4], 'letters', 1, 'body', ARGV[i + 5], 'more', more,
    'state', 'waiting', 'attempts', 0, 'created_ms', now, 'due_ms', digits(due_ms))
  redis.call('ZADD', KEY.outbox .. subscription, digits(due_ms), ARGV[i])
  redis.call('ZADD', KEY.deliveries, 'LT', digits(due_ms), subscription)
  redis.call('HINCRBY', KEY.stats, 'deliveries', 1)
end

local function add_delivery(i)
  local subscription, due_ms, more = ARGV[i + 1], now, ''
  if redis.call('ZCARD', KEY.outbox .. subscription) >= LIMIT.DELIVERIES_MAX then
    redis.call('HINCRBY', KEY.stats, 'deliveries_not_kept', 1)
    return
  end
  if ARGV[i + 6] ~= '' then
    due_ms, more = join(i, subscription)
  end
  if due_ms then
    write_delivery(i, subscription, due_ms, more)
  end
end

redis.call('HSET', KEY.courier, 'place', after, 'op', op)
for i = FIRST, #ARGV, DELIVERY_ARGS do
  add_delivery(i)
end
return 1
