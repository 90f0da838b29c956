-- Say that somebody who lives speaks this schema version (envelopes/versions.py). The sign expires.
-- PEXPIRE first: a full server allows it.
local function speaks(version)
  local key = KEY.speaks .. version
  if redis.call('PTTL', key) < LIMIT.SERVING_TTL_MS / 2
      and redis.call('PEXPIRE', key, LIMIT.SERVING_TTL_MS) == 0 then
    redis.call('SET', key, '1', 'PX', LIMIT.SERVING_TTL_MS)
  end
end

-- Return the oldest version that is spoken, which is the caller's where nobody speaks an older one.
local function spoken(mine)
  for version = 1, mine - 1 do
    if redis.call('EXISTS', KEY.speaks .. version) == 1 then
      return version
    end
  end
  return mine
end
