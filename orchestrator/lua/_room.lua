-- Where tasks wait for an agent. The task with the lowest score is first: a tenant's next task
-- stands one behind its last one, or one behind the task called in last, whichever is later. So
-- tenants take turns, however many tasks each of them has here (start-time fair queueing).
--
-- A task called in is counted in `called` until it commits: it may use the place or not, and then
-- the next one is called; if it still waits, it comes back to the front. So nobody is forgotten,
-- and not everybody is woken for one place. What a task is in, and was called from, stands in its
-- record as " agent agent ".
local function with(names, name)
  names = names or ' '
  return string.find(names, ' ' .. name .. ' ', 1, true) and names or names .. name .. ' '
end

local function without(names, name)
  local from, to = string.find(names or ' ', ' ' .. name .. ' ', 1, true)
  return from and string.sub(names, 1, from) .. string.sub(names, to + 1) or names
end

local function write_names(task, field, names)
  if not names or names == ' ' then
    redis.call('HDEL', KEY.task .. task, field)
  else
    redis.call('HSET', KEY.task .. task, field, names)
  end
end

-- How many more messages an agent may be sent.
local function room_left(agent)
  local cap = cap_of(agent)
  return cap and cap - (redis.call('HGET', KEY.inflight, agent) or 0) or math.huge
end

local function take_turn(agent, task, turn)
  redis.call('ZADD', KEY.room .. agent, turn, task)
  write_names(task, 'rooms', with(redis.call('HGET', KEY.task .. task, 'rooms'), agent))
end

local function enter_room(agent, task, tenant)
  local turns = KEY.turns .. agent
  if redis.call('ZSCORE', KEY.room .. agent, task) then
    return
  end
  local clock, last = unpack(redis.call('HMGET', turns, 'clock', 'last:' .. tenant))
  local turn = math.max(tonumber(clock or 0), tonumber(last or 0)) + 1
  redis.call('HSET', turns, 'last:' .. tenant, turn)
  take_turn(agent, task, turn)
end

-- Its turn had come, so it comes before all whose turn has not.
local function return_to_room(agent, task)
  take_turn(agent, task, 0)
end

local function leave_room(agent, task)
  if redis.call('ZREM', KEY.room .. agent, task) == 1 then
    write_names(task, 'rooms', without(redis.call('HGET', KEY.task .. task, 'rooms'), agent))
  end
  if redis.call('EXISTS', KEY.room .. agent) == 0 then
    redis.call('DEL', KEY.turns .. agent)
  end
end

-- `clock` only ever goes forward: whoever has waited may have a lower turn than the last one.
local function call_in(agent, task, turn, now)
  local turns = KEY.turns .. agent
  local clock = tonumber(redis.call('HGET', turns, 'clock') or 0)
  redis.call('HSET', turns, 'clock', math.max(clock, turn))
  redis.call('ZADD', KEY.called .. agent, now, task)
  leave_room(agent, task)
  write_names(task, 'called', with(redis.call('HGET', KEY.task .. task, 'called'), agent))
  rouse(task, now)
end

-- A task that was called in and does not come to a commit holds up nobody for long.
local function call_next(agent, places, now)
  redis.call('ZREMRANGEBYSCORE', KEY.called .. agent, '-inf', now - LIMIT.CALL_KEPT_MS)
  local free = places - redis.call('ZCARD', KEY.called .. agent)
  if free > 0 then
    local first = redis.call('ZRANGE', KEY.room .. agent, 0, free - 1, 'WITHSCORES')
    for i = 1, #first, 2 do
      call_in(agent, first[i], tonumber(first[i + 1]), now)
    end
  end
end

-- One task stays set to the moment of the probe, even if another gets in front of it meanwhile.
local function set_prober(agent, at_ms, now)
  local room, turns = KEY.room .. agent, KEY.turns .. agent
  local prober = redis.call('HGET', turns, 'prober')
  if not prober or not redis.call('ZSCORE', room, prober) then
    prober = redis.call('ZRANGE', room, 0, 0)[1]
    redis.call('HSET', turns, 'prober', prober)
  end
  if at_ms <= now then
    rouse(prober, now)
  else
    redis.call('ZADD', KEY.due, 'LT', at_ms, prober)
  end
end

-- Call in as many as the agent has places for; with an open breaker, see to the next probe.
local function serve_room(agent, now)
  if redis.call('EXISTS', KEY.room .. agent) == 0 then
    return
  end
  local breaker = read_breaker(agent, now)
  if not is_open(breaker) then
    call_next(agent, math.min(room_left(agent), LIMIT.ROOM_WAKE_MAX), now)
  elseif breaker.probe == '-' then
    set_prober(agent, breaker.opens_ms, now)
  end
end
