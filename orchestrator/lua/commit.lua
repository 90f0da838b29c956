-- COMMIT: write one decision and everything that goes with it, or nothing.
--
-- KEYS   task, mail, journal
-- ARGV   task id, expected version (then a blank and the op of the commit that made it, which is
--        empty where nobody has committed; without the blank any op will do), op, 1 if the version
--        is raised or 0 if only the alarm moves, mail read, alarm ms or empty, outcome or empty,
--        why it ended or empty, retention ms, event or empty; then sections, each after its number
--        of arguments:
--        fields    name, value, ...
--        dropped   name, ...
--        journal   line, ...
--        settled   claim number, agent, verdict, tokens, usd micros, calls, ...
--                                                        (ok, fault, or empty: says nothing; the sum
--                                                        is what the ledger books where the claim's
--                                                        record is gone)
--        publish   agent, queue, claim number, nonce, tokens, usd micros, calls, deadline ms,
--                  timeout ms, the message's SHA-1, message, ...
--                                                        (an amount is empty where unbounded)
--        filed     letter, kind, why, due ms, story, reason, agent, step, hop      (or nothing)
--        closed    letter, verb, by, why, decided as, said     (or nothing)
--        enter     agent, ...                            rooms in which the task waits from now on,
--        leave     agent, ...                            and until it says so here, or ends
--        judged    line, ...                             what a person thought of results
-- Reply  1, or 0 where somebody else has decided meanwhile
--
-- Checks, before any write: every figure; that the op is not the last one committed (a retry: 1);
-- that the task exists, is not over, has the expected version, by the expected commit (a fail-over
-- may have put another in its place), and at least the mail read; that no claim to settle is still
-- issued or claimed, and that each is its agent's; that no agent is sent more than its cap and its
-- breaker let pass, as they stand before this commit.
-- Writes: state; claims and their messages; what each agent has in flight; breakers; books; journal;
-- letter; mail trimmed by exactly what was read; the alarm, which is now if more mail has come or
-- something came free for the task while it was held; rooms; the tenant's places; bells; counters;
-- the event; the news. Whoever can use what came free is woken. Messages of settled claims that
-- nobody has fetched come off their queues, as far as they lie at the head.
-- needs: _time, _amounts, _bell, _facets, _news, _letter, _chunks, _journal, _books, _lanes, _breaker, _rouse, _caps, _room, _places, _stages, _claim_header, _stale
local task, mail, journal = KEYS[1], KEYS[2], KEYS[3]
local id, op, raises, outcome, event = ARGV[1], ARGV[3], ARGV[4] == '1', ARGV[7], ARGV[10]
local expected, base = string.match(ARGV[2], '^(%S+) ?(%S*)$')
local any_base = expected == ARGV[2]
local version, mail_read, retention_ms = amount(expected), amount(ARGV[5]), amount(ARGV[9])
local now, PUBLISH_ARGS, SETTLED_ARGS = now_ms(), 11, 6

local at = 11
local function section()
  local first = at + 1
  at = at + 1 + tonumber(ARGV[at])
  return {first = first, last = at - 1, some = at > first}
end
local fields, dropped, lines, settled = section(), section(), section(), section()
local publish, filed, closed = section(), section(), section()
local enter, leave, judged = section(), section(), section()

local VERDICTS = {ok = true, fault = true, [''] = true}
local function verdicts_are_known()
  for i = settled.first, settled.last, SETTLED_ARGS do
    if not VERDICTS[ARGV[i + 2]] then
      return false
    end
  end
  return true
end

local function settlements_are_sound()
  for i = settled.first, settled.last, SETTLED_ARGS do
    if not (amount(ARGV[i + 3]) and amount(ARGV[i + 4]) and amount(ARGV[i + 5])) then
      return false
    end
  end
  return true
end

local function figures_are_sound()
  for i = publish.first, publish.last, PUBLISH_ARGS do
    for dimension = i + 4, i + 6 do
      if ARGV[dimension] ~= '' and not amount(ARGV[dimension]) then
        return false
      end
    end
    if not (amount(ARGV[i + 2]) and amount(ARGV[i + 7]) and amount(ARGV[i + 8])) then
      return false
    end
  end
  return settlements_are_sound()
    and version and mail_read and retention_ms and (ARGV[6] == '' or amount(ARGV[6]))
    and (not filed.some or amount(ARGV[filed.first + 3]) and amount(ARGV[filed.first + 8]))
end

local function claim_key(number)
  return KEY.claim .. id .. '/' .. number
end

-- Agents in the order in which they are first named, and how often.
local function counted(agents, agent)
  if not agents[agent] then
    agents[agent] = 0
    table.insert(agents, agent)
  end
  agents[agent] = agents[agent] + 1
end

-- What a claim says of its cost, or, where its record is gone, what the ledger takes for it.
local function spent_on(claim, i)
  local t, u, c = claim[3] or 0, claim[4] or 0, claim[5] or 0
  if not claim[1] then
    t, u, c = ARGV[i + 3], ARGV[i + 4], ARGV[i + 5]
  end
  return {t = tonumber(t), u = tonumber(u), c = tonumber(c), models = claim[6]}
end

-- Whoever fetches a claim gives it a token, and whoever hands it back takes the token away again.
local settled_on, stale = {}, {}
local function see_message(number, claim)
  local queue, token, sha1 = unpack(claim, 7, 9)
  if queue then
    counted(settled_on, queue)
  end
  if sha1 and claim[1] == 'revoked' and not token then
    table.insert(stale, {queue = queue, subtask = id .. '/' .. number, sha1 = sha1})
  end
end

-- What is settled counts even where the claim is gone: whoever lost it must not keep the place.
local freed, sent, agent_of, spent_of, half_open, strangers = {}, {}, {}, {}, {}, false
local function claims_are_over()
  for i = settled.first, settled.last, SETTLED_ARGS do
    local number, agent = ARGV[i], ARGV[i + 1]
    local claim = redis.call('HMGET', claim_key(number), 'state', 'agent', 't', 'u', 'c', 'models',
      'queue', 'token', 'sha1')
    if claim[1] == 'issued' or claim[1] == 'claimed' then
      return false
    end
    strangers = strangers or (claim[2] and claim[2] ~= agent)
    if not agent_of[number] then
      agent_of[number], spent_of[number] = agent, spent_on(claim, i)
      see_message(number, claim)
      counted(freed, agent)
    end
  end
  return true
end

-- What stands against publishing: nothing, or the counter of why.
local function held_by()
  for i = publish.first, publish.last, PUBLISH_ARGS do
    counted(sent, ARGV[i])
  end
  for _, agent in ipairs(sent) do
    local more, breaker = sent[agent] - (freed[agent] or 0), read_breaker(agent, now)
    if more > room_left(agent) then
      return 'bulkhead_conflicts'
    elseif sent[agent] > lets_out(breaker, now) then
      return 'breaker_conflicts'
    end
    half_open[agent] = is_open(breaker)
  end
end

local function conflict(counter)
  redis.call('HINCRBY', KEY.stats, 'conflicts', 1)
  if counter then
    redis.call('HINCRBY', KEY.stats, counter, 1)
  end
  return 0
end

if not figures_are_sound() then
  return refused('figures', 'one of them is no whole number from 0 up')
elseif not verdicts_are_known() then
  return refused('settled', 'a verdict is ok, fault or empty')
elseif not is_op(op) then
  return refused('op', 'not a short name of letters, digits and _.-')
elseif not string.find(outcome, '^%l*$') then
  return refused('outcome', 'not a word')
end
local stored = redis.call('HMGET', task, 'version', 'op', 'outcome', 'tenant', 'place', 'rooms',
  'called', 'recall')
local tenant, place, rooms, called, recalled = unpack(stored, 4, 8)
if stored[2] == op then
  return 1
end
local is_current = tonumber(stored[1]) == version and (any_base or (stored[2] or '') == base)
if not is_current or stored[3] or redis.call('LLEN', mail) < mail_read
  or not claims_are_over() then
  return conflict()
elseif strangers then
  return refused('settled', 'a claim is of another agent')
end
local against = held_by()
if against then
  return conflict(against)
end

local function write_state()
  redis.call('HSET', task, 'op', op, 'version', digits(version + (raises and 1 or 0)))
  in_chunks('HSET', task, fields.first, fields.last)
  in_chunks('HDEL', task, dropped.first, dropped.last)
  redis.call('HDEL', task, 'held_until', 'recall', 'called', 'failed', 'rested')
  in_chunks('RPUSH', journal, lines.first, lines.last)
  if lines.some then
    lines_added(task, journal, lines.last - lines.first + 1)
  end
  for i = settled.first, settled.last, SETTLED_ARGS do
    redis.call('DEL', claim_key(ARGV[i]))
  end
end

local function count_in_flight(agent, by)
  if redis.call('HINCRBY', KEY.inflight, agent, by) <= 0 then
    redis.call('HDEL', KEY.inflight, agent)
  end
end

local function judge_agents()
  local breakers, keeps, rows = {}, {}, {}
  for i = settled.first, settled.last, SETTLED_ARGS do
    local agent, verdict = agent_of[ARGV[i]], ARGV[i + 2]
    agent_of[ARGV[i]] = nil
    if agent then
      local before = breakers[agent] or read_breaker(agent, now)
      keeps[agent] = keeps[agent] or before.kept or verdict == 'fault'
      breakers[agent] = judge(before, id .. '/' .. ARGV[i], verdict, now)
      note_spent(rows, tenant, agent, verdict, spent_of[ARGV[i]])
    end
  end
  write_books(rows, now)
  for _, agent in ipairs(freed) do
    count_in_flight(agent, -freed[agent])
    if keeps[agent] then
      write_breaker(agent, breakers[agent])
    end
  end
end

local function issue_claim(i)
  redis.call('HSET', claim_key(ARGV[i + 2]), 'state', 'issued', 'agent', ARGV[i],
    'queue', ARGV[i + 1], 'nonce', ARGV[i + 3], 'allow_t', ARGV[i + 4], 'allow_u', ARGV[i + 5],
    'allow_c', ARGV[i + 6], 'deadline_ms', ARGV[i + 7], 'timeout_ms', ARGV[i + 8],
    'published_ms', now, 'sha1', ARGV[i + 9])
end

local function withdraw_messages()
  for _, each in ipairs(stale) do
    note_stale(each.queue, each.subtask, each.sha1)
  end
  for _, queue in ipairs(settled_on) do
    if redis.call('EXISTS', KEY.stale_on .. queue) == 1 then
      redis.call('SADD', KEY.stale, queue)
      withdraw(queue)
    end
  end
  count_withdrawn()
end

-- A breaker that is open has let out this one alone: it is the probe.
local function note_probe(agent, number)
  local breaker = read_breaker(agent, now)
  breaker.probe = id .. '/' .. number
  write_breaker(agent, breaker)
  redis.call('HINCRBY', KEY.stats, 'breaker_probes', 1)
end

local function push(base, queue, messages)
  for from = 1, #messages, LIMIT.LUA_ARGS_MAX do
    local to = math.min(from + LIMIT.LUA_ARGS_MAX - 1, #messages)
    redis.call('LPUSH', queue, unpack(messages, from, to))
  end
  open_lane(base, queue)
  ring(KEY.queue_bell .. base, #messages)
end

local function publish_messages()
  local by_queue, base_of, count, bytes = {}, {}, 0, 0
  for i = publish.first, publish.last, PUBLISH_ARGS do
    local agent, queue, message = ARGV[i], ARGV[i + 1], ARGV[i + PUBLISH_ARGS - 1]
    issue_claim(i)
    if half_open[agent] then
      note_probe(agent, ARGV[i + 2])
    end
    by_queue[queue] = by_queue[queue] or {}
    base_of[queue] = KEY.queue .. agent
    table.insert(by_queue[queue], message)
    count, bytes = count + 1, bytes + #message
  end
  for queue, messages in pairs(by_queue) do
    push(base_of[queue], queue, messages)
  end
  for _, agent in ipairs(sent) do
    count_in_flight(agent, sent[agent])
  end
  if count > 0 then
    redis.call('HINCRBY', KEY.stats, 'pushed', count)
    redis.call('HINCRBY', KEY.stats, 'pushed_bytes', bytes)
  end
end

local function move_letters()
  if filed.some then
    local f = filed.first
    file_letter(ARGV[f], now, {kind = ARGV[f + 1], why = ARGV[f + 2], due_ms = ARGV[f + 3],
      story = ARGV[f + 4], task = id, reason = ARGV[f + 5], agent = ARGV[f + 6], tenant = tenant,
      step = ARGV[f + 7], hop = ARGV[f + 8]})
    redis.call('HINCRBY', KEY.stats, 'escalated', 1)
  end
  if closed.some then
    local c = closed.first
    redis.call('HSET', KEY.letter .. ARGV[c], 'decided_as', ARGV[c + 4], 'said', ARGV[c + 5])
    close_letter(ARGV[c], now, ARGV[c + 1], ARGV[c + 2], ARGV[c + 3], retention_ms)
  end
  in_chunks('RPUSH', KEY.calibration, judged.first, judged.last)
  if judged.some then
    redis.call('LTRIM', KEY.calibration, -LIMIT.CALIBRATION_MAX, -1)
  end
end

local function set_alarm()
  redis.call('LTRIM', mail, digits(mail_read), -1)
  if redis.call('EXISTS', mail) == 1 or recalled then
    redis.call('ZADD', KEY.due, now, id)
    ring(KEY.bell, 1)
  elseif ARGV[6] ~= '' then
    redis.call('ZADD', KEY.due, ARGV[6], id)
  else
    redis.call('ZREM', KEY.due, id)
  end
end

-- A reason's first word says of which class it is: "confidence>=0.9", "decided: approve by Ada".
local function class_of(stop_reason)
  return string.match(stop_reason, '^[%l_]+') or 'other'
end

local ENDED = {'task', 'tenant', 'outcome', 'stop_reason'}
local function conclude()
  redis.call('HSET', task, 'outcome', outcome)
  redis.call('HDEL', task, 'place')
  redis.call('HINCRBY', KEY.stats, 'concluded_' .. outcome, 1)
  redis.call('HINCRBY', KEY.stats, 'ended:' .. outcome .. ':' .. class_of(ARGV[8]), 1)
  redis.call('DEL', mail)
  redis.call('ZREM', KEY.due, id)
  note_expiry(id, tenant, outcome, now + retention_ms)
  for _, key in ipairs({task, journal, redis.call('HGET', task, 'idem')}) do
    if key and key ~= '' then
      redis.call('PEXPIRE', key, digits(retention_ms))
    end
  end
  tell('task.ended', now, ENDED,
    {task = id, tenant = tenant, outcome = outcome, stop_reason = ARGV[8]})
end

local function each_name(names, act)
  for name in string.gmatch(names or '', '%S+') do
    act(name)
  end
end

-- Where the task had been called in, it has used its place or not. If it still waits there, somebody
-- was faster, or it was called while this was being decided: it goes back to the front.
local function answer_calls(touched)
  local left = {}
  for i = leave.first, leave.last do
    left[ARGV[i]] = true
  end
  each_name(called, function(agent)
    redis.call('ZREM', KEY.called .. agent, id)
    counted(touched, agent)
    if outcome == '' and not left[agent] then
      return_to_room(agent, id)
    end
  end)
end

-- The alarm is set anew by each commit, so a room in which the task may be the one to probe is
-- looked at too.
local function move_rooms()
  local touched = {}
  each_name(rooms, function(agent)
    counted(touched, agent)
    if outcome ~= '' then
      leave_room(agent, id)
    end
  end)
  if called then
    answer_calls(touched)
  end
  for i = enter.first, enter.last do
    enter_room(ARGV[i], id, tenant)
    counted(touched, ARGV[i])
  end
  for i = leave.first, leave.last do
    leave_room(ARGV[i], id)
    counted(touched, ARGV[i])
  end
  for _, agent in ipairs(freed) do
    counted(touched, agent)
  end
  for _, agent in ipairs(touched) do
    serve_room(agent, now)
  end
end

local function place_after()
  if outcome ~= '' then
    return ''
  elseif filed.some then
    return 'desk'
  end
  return (closed.some and place == 'desk') and 'work' or place
end

local function stage_at(at)
  return at == 'desk' and 'on_desk' or 'open'
end

local function move_place()
  local after = place_after()
  move_stage(id, tenant, stage_at(place), outcome ~= '' and outcome or stage_at(after))
  if after == place then
    return
  end
  if after ~= '' then
    redis.call('HSET', task, 'place', after)
  end
  if after == 'work' then
    count_at_work(tenant, 1)
  elseif place == 'waiting' then
    redis.call('ZREM', KEY.waiting .. tenant, id)
  elseif place == 'work' then
    count_at_work(tenant, -1)
    admit(tenant, now)
  end
end

write_state()
judge_agents()
withdraw_messages()
publish_messages()
move_letters()
if outcome == '' then
  set_alarm()
else
  conclude()
end
move_rooms()
move_place()
redis.call('HINCRBY', KEY.stats, 'commits', 1)
if event ~= '' then
  redis.call('PUBLISH', KEY.events .. id, event)
end
return 1
