-- Give a claim back as if it had never been fetched. What was charged on it stays charged.
-- `handed` remembers the token, so that the retry of a hand-back is known.
local function give_back(key, token)
  local claim = redis.call('HMGET', key, 'state', 'token', 'handed')
  if claim[3] == token then
    return true, false
  end
  if claim[1] ~= 'claimed' or claim[2] ~= token then
    return false, false
  end
  redis.call('HSET', key, 'state', 'issued', 'handed', token)
  redis.call('HDEL', key, 'token', 'worker', 'since_ms', 'beat_ms', 'until_ms')
  return true, true
end
