-- BEAT: say that a worker process lives, for all its claims at once.
--
-- KEYS   none
-- ARGV   worker, record (JSON), schema version, then subtask and token of each claim
-- Reply  the subtasks that are not the worker's any more
--
-- Checks: the version.
-- Writes: the worker's record and its place in the list, that somebody speaks this version, the beat
-- of each claim that is still its own. Beating twice is beating once.
-- needs: _time, _amounts, _speaks
local worker, version, now, lost = ARGV[1], amount(ARGV[3]), now_ms(), {}
if not version then
  return refused('version', 'not a whole number')
end
redis.call('SET', KEY.worker .. worker, ARGV[2], 'PX', LIMIT.WORKER_TTL_MS)
speaks(version)
redis.call('ZADD', KEY.workers, now, worker)
redis.call('ZREMRANGEBYSCORE', KEY.workers, '-inf', now - LIMIT.WORKERS_KEPT_MS)
for i = 4, #ARGV, 2 do
  local key = KEY.claim .. ARGV[i]
  local claim = redis.call('HMGET', key, 'state', 'token')
  if claim[1] == 'claimed' and claim[2] == ARGV[i + 1] then
    redis.call('HSET', key, 'beat_ms', now)
  else
    lost[#lost + 1] = ARGV[i]
  end
end
return lost
