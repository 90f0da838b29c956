-- The indexes in which a task stands, each by the time it was accepted: of all tasks, of its tenant,
-- of its stage (open, on_desk, or its outcome), and of both.
local function stage_indexes(stage, tenant)
  local by_stage = KEY.tasks_by .. 'stage:' .. stage
  return {by_stage, by_stage .. '|tenant:' .. tenant}
end

local function index_task(task, accepted_ms, tenant)
  redis.call('ZADD', KEY.tasks, accepted_ms, task)
  redis.call('ZADD', KEY.tasks_by .. 'tenant:' .. tenant, accepted_ms, task)
  for _, index in ipairs(stage_indexes('open', tenant)) do
    redis.call('ZADD', index, accepted_ms, task)
  end
end

local function move_stage(task, tenant, before, after)
  if before == after then
    return
  end
  local accepted_ms = redis.call('HGET', KEY.task .. task, 'accepted_ms')
  for _, index in ipairs(stage_indexes(after, tenant)) do
    redis.call('ZADD', index, accepted_ms, task)
  end
  for _, index in ipairs(stage_indexes(before, tenant)) do
    redis.call('ZREM', index, task)
  end
end

-- The record expires by itself; PRUNE_TASKS reads here in which indexes the task still stands.
local function note_expiry(task, tenant, outcome, at_ms)
  redis.call('ZADD', KEY.expiring, digits(at_ms), outcome .. ' ' .. tenant .. ' ' .. task)
end

local function forget_task(line)
  local outcome, tenant, task = string.match(line, '^(%S*) (%S*) (.*)$')
  for _, index in ipairs(stage_indexes(outcome, tenant)) do
    redis.call('ZREM', index, task)
  end
  redis.call('ZREM', KEY.tasks_by .. 'tenant:' .. tenant, task)
  redis.call('ZREM', KEY.tasks, task)
  redis.call('ZREM', KEY.expiring, line)
end
