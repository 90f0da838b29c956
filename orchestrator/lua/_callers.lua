-- Who may call: bearer tokens, and how often.
--
-- A secret is never seen here, only its SHA-256: whoever guesses cannot steer how far a comparison
-- gets, and Lua compares two strings by their address.

-- The token's JSON, and its calls a minute, where the id and the hash of its secret fit and its time
-- is not over. Without a hash the id is enough: a session or a code has proved itself already.
local function token_of(id, hash, now)
  local kept = redis.call('HGET', KEY.tokens, id) or ''
  local its_hash, expires_ms, per_minute, text = string.match(kept, '^(%x+) (%d*) (%d+)\n(.*)$')
  if not text or hash and its_hash ~= hash then
    return nil
  elseif expires_ms ~= '' and tonumber(expires_ms) <= now then
    return nil
  end
  return text, tonumber(per_minute)
end

-- Count one wrong credential from an address; how long it is to wait, 0 where it is not too many.
local function count_failure(address)
  local key = KEY.failed .. address
  local failures = redis.call('INCR', key)
  if failures == 1 then
    redis.call('PEXPIRE', key, LIMIT.FAILED_LOGINS_MS)
  end
  if failures <= LIMIT.FAILED_LOGINS_MAX then
    return 0
  end
  return math.max(1, redis.call('PTTL', key))
end

-- Count one call of a token: each costs a slice of its minute, and as many as the burst may be owed
-- at once, which is never more than a minute's. How long to wait, 0 where the call may be made; one
-- that may not costs nothing.
local function count_call(id, per_minute, now)
  local key, slice_ms = KEY.rate .. id, 60000 / per_minute
  local owed_until = math.max(now, tonumber(redis.call('GET', key) or now)) + slice_ms
  local burst_ms = slice_ms * math.min(LIMIT.TOKEN_BURST, per_minute)
  local wait_ms = math.ceil(owed_until - now - burst_ms)
  if wait_ms > 0 then
    return wait_ms
  end
  local left_ms = math.max(1, math.ceil(owed_until - now))
  redis.call('SET', key, string.format('%.3f', owed_until), 'PX', left_ms)
  return 0
end
