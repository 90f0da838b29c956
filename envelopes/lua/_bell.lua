-- A bell is a list on which somebody waits with BLPOP. A stroke says only "look"; a bell that
-- nobody hears keeps a bounded number of them.
local function ring(bell, strokes)
  local room = LIMIT.BELLS_MAX - redis.call('LLEN', bell)
  for _ = 1, math.min(strokes, room) do
    redis.call('RPUSH', bell, '1')
  end
end

-- Wake a task because mail has come. While an orchestrator holds it, its COMMIT will see the mail,
-- and an alarm would only wake a second one to decide the same.
local function wake(task, held_until, now)
  if held_until and tonumber(held_until) > now then
    return
  end
  redis.call('ZADD', KEY.due, 'LT', now, task)
  ring(KEY.bell, 1)
end
