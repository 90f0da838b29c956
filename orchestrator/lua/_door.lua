-- Messages at the door stay on their list until what became of them is written, by the same script
-- that takes them off. So they lie there for two orchestrators at most once, and a dead one loses none.
local function lies_there(list, raw)
  return redis.call('LPOS', list, raw, 'RANK', -1, 'MAXLEN', LIMIT.DOOR_LOOK_MAX)
end

local function take_away(list, raw)
  redis.call('LREM', list, -1, raw)
  redis.call('HDEL', KEY.submissions_held, redis.sha1hex(raw))
end

-- Tell a Celery client that has a result backend on this server, as Celery's own backend does.
local function answer(key, text)
  if key then
    redis.call('SET', key, text, 'PX', LIMIT.DOOR_RESULT_MS)
    redis.call('PUBLISH', key, text)
  end
end
