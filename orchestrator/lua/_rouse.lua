-- Wake a task because something has come free for it. An orchestrator that has claimed it may have
-- decided before it came free: its COMMIT is told by `recall` to wake the task again at once. Its
-- lease may have run out, and its COMMIT can land all the same, with an alarm far away.
local function rouse(task, now)
  local key = KEY.task .. task
  local held_until = redis.call('HGET', key, 'held_until')
  if held_until then
    redis.call('HSET', key, 'recall', '1')
  end
  wake(task, held_until, now)
end
