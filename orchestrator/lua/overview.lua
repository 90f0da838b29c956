-- OVERVIEW: count what there is, for whoever wants one look at everything.
--
-- KEYS   none
-- ARGV   kind of letter, ...
-- Reply  {tasks that are open, on the desk, completed, partial, aborted; open letters, messages that
--        wait in all lanes, agents known, workers alive; letters of the first kind, of the second, ...}
--
-- Writes nothing. Counts nothing one by one but lanes, of which there are few.
-- needs: _time
local agents = {}
for _, hash in ipairs({KEY.agents, KEY.inflight}) do
  for _, agent in ipairs(redis.call('HKEYS', hash)) do
    agents[agent] = true
  end
end

local function waiting_for(agent)
  local base, waiting = KEY.queue .. agent, 0
  local lanes = redis.call('ZRANGE', KEY.lanes .. base, 0, -1)
  for _, lane in ipairs(#lanes > 0 and lanes or {base}) do
    waiting = waiting + redis.call('LLEN', lane)
  end
  return waiting
end

local waiting, known = 0, 0
for agent in pairs(agents) do
  waiting, known = waiting + waiting_for(agent), known + 1
end
local alive = redis.call('ZCOUNT', KEY.workers, '(' .. now_ms() - LIMIT.WORKER_TTL_MS, '+inf')
local reply = {}
for _, stage in ipairs({'open', 'on_desk', 'completed', 'partial', 'aborted'}) do
  table.insert(reply, redis.call('ZCARD', KEY.tasks_by .. 'stage:' .. stage))
end
for _, figure in ipairs({redis.call('ZCARD', KEY.letters), waiting, known, alive}) do
  table.insert(reply, figure)
end
for _, kind in ipairs(ARGV) do
  table.insert(reply, redis.call('ZCARD', KEY.letters_by .. 'kind:' .. kind))
end
return reply
