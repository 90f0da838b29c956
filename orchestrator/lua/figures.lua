-- FIGURES: everything that is measured of a deployment, as of one moment.
--
-- KEYS   none
-- ARGV   how many kinds of letters there are, each of them, then each stage of a task
-- Reply  {now ms, counters, letters, tasks, alarms, agents, queues, courier}, where
--          counters  name, figure, ...
--          letters   for each kind {open, when the oldest was filed or 0}; then {due soon, overdue}
--          tasks     how many there are at each stage; then at work, waiting for a place
--          alarms    {rung by now, when the first one rang or rings or 0, 1 if somebody looks for work}
--          agents    {name, in flight, cap or empty, in its room, 1 if its breaker is open, waiting
--                    messages, when the oldest of them was issued or 0}, ...
--          queues    {name, waiting messages}, ... of those that are no agent's
--          courier   {first line of news that no courier has read or empty, deliveries that wait, when
--                    there is something to do or 0, subscriptions, disabled, failing}
--
-- Writes nothing. Counts nothing one by one but agents, lanes, tenants and receivers: all are few.
-- needs: _time, _amounts, _breaker, _caps, _issued
local now = now_ms()

local function first_score(key)
  return redis.call('ZRANGE', key, 0, 0, 'WITHSCORES')[2] or 0
end

local function letters()
  local found = {}
  for i = 2, 1 + tonumber(ARGV[1]) do
    local index = KEY.letters_by .. 'kind:' .. ARGV[i]
    table.insert(found, {redis.call('ZCARD', index), tonumber(first_score(index))})
  end
  local soon, overdue = 0, 0
  for _, key in ipairs({KEY.letters_due, KEY.discards}) do
    soon = soon + redis.call('ZCOUNT', key, '-inf', now + LIMIT.LETTER_SOON_MS)
    overdue = overdue + redis.call('ZCOUNT', key, '-inf', now)
  end
  table.insert(found, {soon, overdue})
  return found
end

local function tasks()
  local found, working, waiting = {}, 0, 0
  for i = 2 + tonumber(ARGV[1]), #ARGV do
    table.insert(found, redis.call('ZCARD', KEY.tasks_by .. 'stage:' .. ARGV[i]))
  end
  local at_work = redis.call('HGETALL', KEY.atwork)
  for i = 1, #at_work, 2 do
    working = working + tonumber(at_work[i + 1])
    waiting = waiting + redis.call('ZCARD', KEY.waiting .. at_work[i])
  end
  table.insert(found, working)
  table.insert(found, waiting)
  return found
end

local function alarms()
  return {redis.call('ZCOUNT', KEY.due, '-inf', now), tonumber(first_score(KEY.due)),
    redis.call('EXISTS', KEY.serving)}
end

-- A message that names no time is a stranger's, and says nothing.
local function waiting_for(agent)
  local base, waiting, oldest = KEY.queue .. agent, 0, 0
  local lanes = redis.call('ZRANGE', KEY.lanes .. base, 0, -1)
  for _, lane in ipairs(#lanes > 0 and lanes or {base}) do
    local length, issued = redis.call('LLEN', lane), oldest_issued_ms(lane) or 0
    waiting = waiting + length
    if issued > 0 and (oldest == 0 or issued < oldest) then
      oldest = issued
    end
  end
  return waiting, oldest
end

local function agents()
  local found, known = {}, {}
  for _, hash in ipairs({KEY.agents, KEY.inflight, KEY.breakers}) do
    for _, agent in ipairs(redis.call('HKEYS', hash)) do
      known[agent] = true
    end
  end
  for agent in pairs(known) do
    local waiting, oldest = waiting_for(agent)
    local in_flight = tonumber(redis.call('HGET', KEY.inflight, agent) or 0)
    table.insert(found, {agent, in_flight, cap_of(agent) or '',
      redis.call('ZCARD', KEY.room .. agent), is_open(read_breaker(agent, now)) and 1 or 0,
      waiting, oldest})
  end
  return found
end

-- Celery makes a list of its own of each priority that a sender names.
local PRIORITIES = {'', '\6\0223', '\6\0226', '\6\0229'}
local function queues()
  local submitted = 0
  for _, priority in ipairs(PRIORITIES) do
    submitted = submitted + redis.call('LLEN', KEY.submissions .. priority)
  end
  return {{KEY.dead_letters, redis.call('LLEN', KEY.dead_letters)}, {KEY.submissions, submitted}}
end

local function courier()
  local waiting, known = 0, redis.call('HKEYS', KEY.subscriptions)
  for _, subscription in ipairs(known) do
    waiting = waiting + redis.call('ZCARD', KEY.outbox .. subscription)
  end
  local place = redis.call('HGET', KEY.courier, 'place')
  local unread = redis.call('XRANGE', KEY.news, place and '(' .. place or '-', '+', 'COUNT', 1)[1]
  return {unread and unread[1] or '', waiting, tonumber(first_score(KEY.deliveries)), #known,
    redis.call('HLEN', KEY.disabled), redis.call('HLEN', KEY.failing)}
end

return {now, redis.call('HGETALL', KEY.stats), letters(), tasks(), alarms(), agents(), queues(),
  courier()}
