-- FETCH: take messages from queues and record the claims they stand for, in one step.
--
-- KEYS   the worker's last reply, then the queues, the one to serve first in front
-- ARGV   op, worker, count
-- Reply  {now ms, then for each message: queue, raw, state, subtask, token, letter}
--
-- Checks: the same op again gets the same reply again, whatever else it asks for, so that no message
-- is lost with a reply. A claim needs the nonce that COMMIT issued with the message; what the message
-- says otherwise is the gate's business, which gives back the claim of a message that it refuses.
-- Writes: first the op, because popping alone would be allowed on a full server; then queues,
-- claims, counters, the reply. A message that cannot run, because it is too large to carry or has no
-- claim to take, is filed as a letter at once: it is off its queue, and the worker may die before the
-- gate has said what exactly is wrong with it.
-- needs: _time, _amounts, _letter, _set_aside
local last, op, worker, count = KEYS[1], ARGV[1], ARGV[2], amount(ARGV[3])
local now = now_ms()
if not count or count > LIMIT.FETCH_MAX then
  return refused('count', 'not a whole number from 0 to LIMIT.FETCH_MAX')
elseif not is_op(op) then
  return refused('op', 'not a short name of letters, digits and _.-')
end
if redis.call('HGET', last, 'op') == op then
  return cmsgpack.unpack(redis.call('HGET', last, 'reply'))
end

local lengths, waiting = {}, 0
for q = 2, #KEYS do
  lengths[q] = redis.call('LLEN', KEYS[q])
  waiting = waiting + lengths[q]
end
if waiting == 0 or count == 0 then
  return {now}
end
redis.call('HSET', last, 'op', op, 'reply', cmsgpack.pack({now}))

local reply, taken, bytes = {now}, 0, 0
local counters = {}
local function add(counter, by)
  counters[counter] = (counters[counter] or 0) + by
end

-- Base64 has no quotes, so a plain search runs through the body at the speed of memchr; in a JSON
-- string quotes are escaped, so only a real header is found.
local function claim_header(raw)
  local found = string.find(raw, '"buckstop_claim"', 1, true)
  if found then
    return string.match(raw, '^"buckstop_claim":%s*"([%w-]+/%d+):(%x+)"', found)
  end
end

local function take_claim(subtask, nonce)
  local key = KEY.claim .. subtask
  local claim = redis.call('HMGET', key, 'state', 'nonce', 'deadline_ms', 'timeout_ms')
  if not claim[1] or (claim[1] == 'revoked' and claim[2] == nonce) then
    add('revoked_dropped', 1)
    return 'revoked', subtask, ''
  elseif claim[2] ~= nonce then
    return 'foreign', '', ''
  elseif claim[1] ~= 'issued' then
    add('replayed', 1)
    return 'replayed', subtask, ''
  end
  local token = op .. '.' .. digits(now) .. '.' .. taken
  local until_ms = math.min(tonumber(claim[3]), now + tonumber(claim[4]))
  redis.call('HSET', key, 'state', 'claimed', 'token', token, 'worker', worker, 'since_ms', now,
    'beat_ms', now, 'until_ms', until_ms)
  add('claims', 1)
  return 'claimed', subtask, token
end

local function file(kind, why, queue, raw)
  return set_aside(op .. '.' .. taken, now, #raw, {'kind', kind, 'reason', kind, 'why', why,
    'queue', queue, 'size', #raw, 'bytes', string.sub(raw, 1, LIMIT.LETTER_BYTES_MAX)})
end

local function take_one(q)
  local raw = redis.call('RPOP', KEYS[q])
  taken, bytes, lengths[q] = taken + 1, bytes + #raw, lengths[q] - 1
  if #raw > LIMIT.MESSAGE_BYTES_MAX then
    file('oversize', #raw .. ' bytes; at most LIMIT.MESSAGE_BYTES_MAX are fetched', KEYS[q], raw)
    return
  end
  local subtask, nonce = claim_header(raw)
  local state, token = 'foreign', ''
  if subtask then
    state, subtask, token = take_claim(subtask, nonce)
  end
  local letter = ''
  if state == 'foreign' or state == 'replayed' then
    letter = file('unread', 'its worker has not said yet what is wrong with it', KEYS[q], raw)
  end
  local n = #reply
  reply[n + 1], reply[n + 2], reply[n + 3] = KEYS[q], raw, state
  reply[n + 4], reply[n + 5], reply[n + 6] = subtask or '', token, letter
end

local function take_from(q, most)
  for _ = 1, math.min(most, lengths[q]) do
    if taken >= count or bytes >= LIMIT.FETCH_BYTES_MAX then
      return
    end
    take_one(q)
  end
end

-- A fair share of each first, so that a deep queue does not starve the ones behind it.
local share = math.ceil(count / (#KEYS - 1))
for q = 2, #KEYS do
  take_from(q, share)
end
for q = 2, #KEYS do
  take_from(q, count)
end

-- A bell that rang for messages which are gone would only wake somebody for nothing.
for q = 2, #KEYS do
  if lengths[q] == 0 then
    redis.call('DEL', KEY.queue_bell .. KEYS[q])
  end
end
add('fetched', taken)
add('fetched_bytes', bytes)
for counter, by in pairs(counters) do
  redis.call('HINCRBY', KEY.stats, counter, by)
end
redis.call('HSET', last, 'op', op, 'reply', cmsgpack.pack(reply))
redis.call('PEXPIRE', last, LIMIT.REPLY_KEPT_MS)
return reply
