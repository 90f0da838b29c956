-- Wake a task because something has come free for it. An orchestrator that holds it may have
-- decided before it came free: its COMMIT is told by `recall` to wake the task again at once.
local function rouse(task, now)
  local key = KEY.task .. task
  local held_until = redis.call('HGET', key, 'held_until')
  if held_until and tonumber(held_until) > now then
    redis.call('HSET', key, 'recall', '1')
  end
  wake(task, held_until, now)
end
