-- The lanes of an agent's queue: its own, and one for each other tenant with messages. While there
-- is any other, all of them stand in a sorted set, the one served longest ago in front; a new one
-- joins behind the last, so it waits for one message of each lane and no more.
local function open_lane(base, lane)
  local lanes = KEY.lanes .. base
  if lane == base or redis.call('ZSCORE', lanes, lane) then
    return
  end
  redis.call('ZADD', lanes, 'NX', 0, base)
  local last = redis.call('ZREVRANGE', lanes, 0, 0, 'WITHSCORES')
  redis.call('ZADD', lanes, tonumber(last[2]) + 1, lane)
end
