-- FETCH: take messages from queues and record the claims they stand for, in one step.
--
-- KEYS   the worker's last reply, then the queues, the one to serve first in front; then the lanes
--        of each, in the same order
-- ARGV   op, worker, count
-- Reply  {now ms, then for each message: lane, raw, state, subtask, token, letter}
--
-- Checks: the same op again gets the same reply again, whatever else it asks for, so that no message
-- is lost with a reply. A claim needs the nonce that COMMIT issued with the message; what the message
-- says otherwise is the gate's business, which gives back the claim of a message that it refuses.
-- A queue has a lane for each tenant with messages, served in turn and one message at a time,
-- beginning with the one served longest ago.
-- Writes: first the op, because popping alone would be allowed on a full server; then lanes and
-- whose turn it is, claims, counters, the reply. A message that cannot run, because it is too large to carry or has no
-- claim to take, is filed as a letter at once: it is off its queue, and the worker may die before the
-- gate has said what exactly is wrong with it.
-- needs: _time, _amounts, _facets, _news, _letter, _claim_header, _set_aside
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

-- A queue as it is served: lanes that have messages in `names`, the next one to serve at `at`.
-- Only the first lanes are looked at: each gives a message at least, so more are not needed.
local QUEUES = (#KEYS - 1) / 2
local some_lanes = redis.call('EXISTS', unpack(KEYS, QUEUES + 2)) > 0

-- A lane that somebody else has emptied is struck off; it would stand in the way of others.
local function lanes_in_turn(key, lanes)
  local known, struck = {}, some_lanes
  while struck do
    known, struck = redis.call('ZRANGE', lanes, 0, count), false
    for _, lane in ipairs(known) do
      if lane ~= key and redis.call('EXISTS', lane) == 0 then
        redis.call('ZREM', lanes, lane)
        struck = true
      end
    end
  end
  return known
end

local function see_queue(key, lanes)
  local q = {key = key, lanes = lanes, names = {}, lengths = {}, empty = {}, served = {}, depth = 0}
  local known = lanes_in_turn(key, lanes)
  q.alone, q.at = #known == 0, 1
  for _, lane in ipairs(q.alone and {key} or known) do
    local length = redis.call('LLEN', lane)
    if length > 0 then
      table.insert(q.names, lane)
    end
    q.lengths[lane], q.depth = length, q.depth + length
  end
  return q
end

local queues, waiting = {}, 0
for i = 1, QUEUES do
  queues[i] = see_queue(KEYS[1 + i], KEYS[1 + QUEUES + i])
  waiting = waiting + queues[i].depth
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

-- It is off its queue: nobody need take it off there.
local function forget_stale(lane, subtask)
  redis.call('HDEL', KEY.claim .. subtask, 'sha1')
  redis.call('HDEL', KEY.stale_on .. lane, subtask)
end

local function take_claim(lane, subtask, nonce)
  local key = KEY.claim .. subtask
  local claim = redis.call('HMGET', key, 'state', 'nonce', 'deadline_ms', 'timeout_ms')
  if not claim[1] or (claim[1] == 'revoked' and claim[2] == nonce) then
    forget_stale(lane, subtask)
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

local function file(kind, reason, why, queue, raw)
  return set_aside(op .. '.' .. taken, now, #raw, {kind = kind, reason = reason, why = why,
    queue = queue, size = #raw, bytes = string.sub(raw, 1, LIMIT.LETTER_BYTES_MAX)})
end

local function take_one(lane)
  local raw = redis.call('RPOP', lane)
  taken, bytes = taken + 1, bytes + #raw
  if #raw > LIMIT.MESSAGE_BYTES_MAX then
    file('oversize', 'oversize', #raw .. ' bytes; at most LIMIT.MESSAGE_BYTES_MAX are fetched', lane, raw)
    return
  end
  local subtask, nonce = claim_header(raw)
  local state, token = 'foreign', ''
  if subtask then
    state, subtask, token = take_claim(lane, subtask, nonce)
  end
  local letter = ''
  if state == 'foreign' or state == 'replayed' then
    letter = file('undeliverable', 'unread', 'its worker has not said yet what is wrong with it',
      lane, raw)
  end
  local n = #reply
  reply[n + 1], reply[n + 2], reply[n + 3] = lane, raw, state
  reply[n + 4], reply[n + 5], reply[n + 6] = subtask or '', token, letter
end

-- Serve the lane whose turn it is; one that is empty then gives its place in the round to the next.
local function serve_lane(q)
  local lane = q.names[q.at]
  take_one(lane)
  q.lengths[lane], q.depth = q.lengths[lane] - 1, q.depth - 1
  if q.lengths[lane] == 0 then
    table.insert(q.empty, table.remove(q.names, q.at))
  else
    q.at = q.at + 1
  end
  if q.at > #q.names then
    q.at = 1
  end
  q.turn = (q.turn or 0) + 1
  q.served[lane] = q.turn
end

local function take_from(q, most)
  for _ = 1, math.min(most, q.depth) do
    if taken >= count or bytes >= LIMIT.FETCH_BYTES_MAX then
      return
    end
    serve_lane(q)
  end
end

-- A fair share of each first, so that a deep queue does not starve the ones behind it.
local share = math.ceil(count / QUEUES)
for _, q in ipairs(queues) do
  take_from(q, share)
end
for _, q in ipairs(queues) do
  take_from(q, count)
end

-- The agent's own queue stays among its lanes as long as there is another.
local function keep_lanes(q)
  for _, lane in ipairs(q.empty) do
    if lane ~= q.key then
      redis.call('ZREM', q.lanes, lane)
    end
  end
  local last = redis.call('ZREVRANGE', q.lanes, 0, 0, 'WITHSCORES')
  if last[1] == q.key and redis.call('ZCARD', q.lanes) == 1 then
    redis.call('DEL', q.lanes)
    last = {}
  end
  for lane, turn in pairs(q.served) do
    if last[2] then
      redis.call('ZADD', q.lanes, 'XX', tonumber(last[2]) + turn, lane)
    end
  end
end

-- A bell that rang for messages which are gone would only wake somebody for nothing.
for _, q in ipairs(queues) do
  if not q.alone then
    keep_lanes(q)
  end
  if q.depth == 0 and (q.alone or redis.call('EXISTS', q.lanes) == 0) then
    redis.call('DEL', KEY.queue_bell .. q.key)
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
