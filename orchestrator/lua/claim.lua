-- CLAIM: hand out tasks whose alarm has rung, each to one orchestrator for a few seconds.
--
-- KEYS   the caller's last reply
-- ARGV   op, count, the caller's schema version, ids of tasks it leaves to others
-- Reply  {now ms, next alarm ms or false, task ids, the oldest schema version that is spoken}
--
-- What the caller leaves to others is neither handed out nor its next alarm.
--
-- Checks: the same op again gets the same ids again. A due id without a task is dropped.
-- Writes: alarm and held_until a lease ahead; the reply, for its retry; that somebody looks for
-- work, and speaks its version, where that has not been said for a while. Bells that rang for what
-- is handed out are silenced once nothing is due any more.
-- needs: _time, _amounts, _speaks
local op, count, version, now = ARGV[1], amount(ARGV[2]), amount(ARGV[3]), now_ms()
if not count then
  return refused('count', 'not a whole number')
end
if not version then
  return refused('version', 'not a whole number')
end

local left, lefts = {}, #ARGV - 3
for i = 4, #ARGV do
  left[ARGV[i]] = true
end

local function next_alarm()
  local first = redis.call('ZRANGE', KEY.due, 0, lefts, 'WITHSCORES')
  for i = 1, #first, 2 do
    if not left[first[i]] then
      return tonumber(first[i + 1])
    end
  end
  return false
end

if redis.call('HGET', KEYS[1], 'op') == op then
  local claimed = cmsgpack.unpack(redis.call('HGET', KEYS[1], 'reply'))
  return {now, next_alarm(), claimed, spoken(version)}
end

-- PEXPIRE first: a full server allows it.
if redis.call('PTTL', KEY.serving) < LIMIT.SERVING_TTL_MS / 2
    and redis.call('PEXPIRE', KEY.serving, LIMIT.SERVING_TTL_MS) == 0 then
  redis.call('SET', KEY.serving, now, 'PX', LIMIT.SERVING_TTL_MS)
end
speaks(version)
local claimed, until_ms = {}, now + LIMIT.WAKE_LEASE_MS
local function hold(id)
  if redis.call('EXISTS', KEY.task .. id) == 1 then
    redis.call('ZADD', KEY.due, until_ms, id)
    redis.call('HSET', KEY.task .. id, 'held_until', until_ms)
    claimed[#claimed + 1] = id
  else
    redis.call('ZREM', KEY.due, id)
  end
end
for _, id in ipairs(redis.call('ZRANGEBYSCORE', KEY.due, '-inf', now, 'LIMIT', 0, count + lefts)) do
  if not left[id] and #claimed < count then
    hold(id)
  end
end
if #claimed > 0 then
  redis.call('HSET', KEYS[1], 'op', op, 'reply', cmsgpack.pack(claimed))
  redis.call('PEXPIRE', KEYS[1], LIMIT.REPLY_KEPT_MS)
end
local next_ms = next_alarm()
if redis.call('ZCOUNT', KEY.due, '-inf', now) == 0 then
  redis.call('DEL', KEY.bell)
end
return {now, next_ms, claimed, spoken(version)}
