-- SETTLE_MESSAGE: do what a person has decided of a message that was set aside.
--
-- KEYS   none
-- ARGV   letter, replay or discard, by, why, op, ms to keep the letter for
-- Reply  {verb, by, why, decided ms, 1 if it was this decision}, or nothing where there is no such
--        letter
--
-- Checks: that it is a letter of a message; that a message to replay is there to its last byte, and
-- of a queue of ours. Whoever comes second is told who was first; the same op again is as if once.
-- Writes: the letter and its indexes; the news; counters; a line in the journal
-- of the task it belongs to; to replay, the message onto the queue it was found on,
-- behind all others, its lane and its bell. If it is refused there again, that is a new letter.
-- needs: _time, _amounts, _bell, _facets, _news, _letter, _lanes, _journal, _message
local function is_ours(queue)
  return queue == KEY.submissions or string.sub(queue, 1, #KEY.queue) == KEY.queue
end

-- Orchestrators wait at the door itself; workers wait for a bell.
local function put_back(queue, raw)
  redis.call('LPUSH', queue, raw)
  if queue ~= KEY.submissions then
    local base = string.match(queue, '^[^@]*')
    open_lane(base, queue)
    ring(KEY.queue_bell .. base, 1)
  end
  redis.call('HINCRBY', KEY.stats, 'messages_replayed_bytes', #raw)
end

local id, verb, by, why, op, kept_ms = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5], amount(ARGV[6])
if not VERBS[verb] then
  return refused('verb', 'of a message it is replay or discard')
elseif not is_op(op) then
  return refused('op', 'not a short name of letters, digits and _.-')
elseif not kept_ms then
  return refused('kept_ms', 'not a whole number')
end
local letter = KEY.letter .. id
local stored = redis.call('HMGET', letter, 'state', 'queue', 'size', 'bytes', 'decided_op', 'verb',
  'by', 'decided_why', 'decided_ms')
local state, queue, size, raw, decided_op = unpack(stored, 1, 5)
if not state then
  return {}
elseif not queue then
  return refused('letter', 'a task waits on it, and no message')
elseif state ~= 'open' then
  return {stored[6], stored[7], stored[8], tonumber(stored[9]), decided_op == op and 1 or 0}
elseif verb == 'replay' and amount(size) ~= #raw then
  return refused('verb', 'only the first ' .. #raw .. ' of ' .. size .. ' bytes were kept')
elseif verb == 'replay' and not is_ours(queue) then
  return refused('verb', 'the message was found on a queue that is none of ours')
end

local now = now_ms()
redis.call('HSET', letter, 'decided_op', op)
close_message(id, now, verb, by, why, kept_ms)
if verb == 'replay' then
  put_back(queue, raw)
end
return {verb, by, why, now, 1}
