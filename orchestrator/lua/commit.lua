-- COMMIT: write one decision and everything that goes with it, or nothing.
--
-- KEYS   task, mail, journal
-- ARGV   task id, expected version, op, 1 if the version is raised or 0 if only the alarm moves,
--        mail read, alarm ms or empty, outcome or empty, retention ms, event or empty; then
--        sections, each after its number of arguments:
--        fields    name, value, ...
--        dropped   name, ...
--        journal   line, ...
--        settled   claim number, ...
--        publish   queue, claim number, nonce, tokens, usd micros, calls, deadline ms, timeout ms,
--                  message, ...                          (an amount is empty where unbounded)
--        filed     letter, kind, why, due ms, story      (or nothing)
--        closed    letter, verb, by, why                 (or nothing)
-- Reply  1, or 0 where somebody else has decided meanwhile
--
-- Checks, before any write: every figure; that the op is not the last one committed (a retry: 1);
-- that the task exists, is not over, has the expected version and at least the mail read; that no
-- claim to settle is still issued or claimed.
-- Writes: state; claims and their messages; journal; letter; mail trimmed by exactly what was
-- read; the alarm, which is now if more mail has come; bells; counters; the event.
-- needs: _time, _amounts, _bell, _letter, _chunks
local task, mail, journal = KEYS[1], KEYS[2], KEYS[3]
local id, op, raises, outcome, event = ARGV[1], ARGV[3], ARGV[4] == '1', ARGV[7], ARGV[9]
local version, mail_read, retention_ms = amount(ARGV[2]), amount(ARGV[5]), amount(ARGV[8])
local now, PUBLISH_ARGS = now_ms(), 9

local at = 10
local function section()
  local first = at + 1
  at = at + 1 + tonumber(ARGV[at])
  return {first = first, last = at - 1, some = at > first}
end
local fields, dropped, lines, settled = section(), section(), section(), section()
local publish, filed, closed = section(), section(), section()

local function figures_are_sound()
  for i = publish.first, publish.last, PUBLISH_ARGS do
    for dimension = i + 3, i + 5 do
      if ARGV[dimension] ~= '' and not amount(ARGV[dimension]) then
        return false
      end
    end
    if not (amount(ARGV[i + 1]) and amount(ARGV[i + 6]) and amount(ARGV[i + 7])) then
      return false
    end
  end
  return version and mail_read and retention_ms and (ARGV[6] == '' or amount(ARGV[6]))
    and (not filed.some or amount(ARGV[filed.first + 3]))
end

local function claim_key(number)
  return KEY.claim .. id .. '/' .. number
end

local function claims_are_over()
  for i = settled.first, settled.last do
    local state = redis.call('HGET', claim_key(ARGV[i]), 'state')
    if state == 'issued' or state == 'claimed' then
      return false
    end
  end
  return true
end

if not figures_are_sound() then
  return refused('figures', 'one of them is no whole number from 0 up')
elseif not is_op(op) then
  return refused('op', 'not a short name of letters, digits and _.-')
elseif not string.find(outcome, '^%l*$') then
  return refused('outcome', 'not a word')
end
local stored = redis.call('HMGET', task, 'version', 'op', 'outcome')
if stored[2] == op then
  return 1
end
if tonumber(stored[1]) ~= version or stored[3] or redis.call('LLEN', mail) < mail_read
  or not claims_are_over() then
  redis.call('HINCRBY', KEY.stats, 'conflicts', 1)
  return 0
end

local function write_state()
  redis.call('HSET', task, 'op', op, 'version', digits(version + (raises and 1 or 0)))
  in_chunks('HSET', task, fields.first, fields.last)
  in_chunks('HDEL', task, dropped.first, dropped.last)
  redis.call('HDEL', task, 'held_until')
  in_chunks('RPUSH', journal, lines.first, lines.last)
  if lines.some then
    redis.call('LTRIM', journal, -LIMIT.JOURNAL_MAX, -1)
  end
  for i = settled.first, settled.last do
    redis.call('DEL', claim_key(ARGV[i]))
  end
end

local function issue_claim(i)
  redis.call('HSET', claim_key(ARGV[i + 1]), 'state', 'issued', 'queue', ARGV[i],
    'nonce', ARGV[i + 2], 'allow_t', ARGV[i + 3], 'allow_u', ARGV[i + 4], 'allow_c', ARGV[i + 5],
    'deadline_ms', ARGV[i + 6], 'timeout_ms', ARGV[i + 7], 'published_ms', now)
end

local function push(queue, messages)
  for from = 1, #messages, LIMIT.LUA_ARGS_MAX do
    local to = math.min(from + LIMIT.LUA_ARGS_MAX - 1, #messages)
    redis.call('LPUSH', queue, unpack(messages, from, to))
  end
  ring(KEY.queue_bell .. queue, #messages)
end

local function publish_messages()
  local by_queue, count, bytes = {}, 0, 0
  for i = publish.first, publish.last, PUBLISH_ARGS do
    local queue, message = ARGV[i], ARGV[i + PUBLISH_ARGS - 1]
    issue_claim(i)
    by_queue[queue] = by_queue[queue] or {}
    table.insert(by_queue[queue], message)
    count, bytes = count + 1, bytes + #message
  end
  for queue, messages in pairs(by_queue) do
    push(queue, messages)
  end
  if count > 0 then
    redis.call('HINCRBY', KEY.stats, 'pushed', count)
    redis.call('HINCRBY', KEY.stats, 'pushed_bytes', bytes)
  end
end

local function move_letters()
  if filed.some then
    local f = filed.first
    file_letter(ARGV[f], now, {'kind', ARGV[f + 1], 'why', ARGV[f + 2], 'due_ms', ARGV[f + 3],
      'story', ARGV[f + 4], 'task', id})
    redis.call('HINCRBY', KEY.stats, 'escalated', 1)
  end
  if closed.some then
    local c = closed.first
    local letter = KEY.letter .. ARGV[c]
    redis.call('HSET', letter, 'state', 'decided', 'verb', ARGV[c + 1], 'by', ARGV[c + 2],
      'decided_why', ARGV[c + 3], 'decided_ms', now)
    redis.call('PEXPIRE', letter, digits(retention_ms))
    redis.call('ZREM', KEY.letters, ARGV[c])
  end
end

local function set_alarm()
  redis.call('LTRIM', mail, digits(mail_read), -1)
  if redis.call('EXISTS', mail) == 1 then
    redis.call('ZADD', KEY.due, now, id)
    ring(KEY.bell, 1)
  elseif ARGV[6] ~= '' then
    redis.call('ZADD', KEY.due, ARGV[6], id)
  else
    redis.call('ZREM', KEY.due, id)
  end
end

local function conclude()
  redis.call('HSET', task, 'outcome', outcome)
  redis.call('HINCRBY', KEY.stats, 'concluded_' .. outcome, 1)
  redis.call('DEL', mail)
  redis.call('ZREM', KEY.due, id)
  for _, key in ipairs({task, journal, redis.call('HGET', task, 'idem')}) do
    if key and key ~= '' then
      redis.call('PEXPIRE', key, digits(retention_ms))
    end
  end
end

write_state()
publish_messages()
move_letters()
if outcome == '' then
  set_alarm()
else
  conclude()
end
redis.call('HINCRBY', KEY.stats, 'commits', 1)
if event ~= '' then
  redis.call('PUBLISH', KEY.events .. id, event)
end
return 1
