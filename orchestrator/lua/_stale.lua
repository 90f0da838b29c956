-- Stale messages: those whose claim was settled before anybody had fetched them. They can never run,
-- and where nobody serves their queue they would lie there for ever.
--
-- COMMIT notes them, with the digest of what it had pushed. A queue is first in, first out, so they are
-- withdrawn at its head, up to the first message that is not stale; what lies behind that one goes in
-- its turn. Nothing is searched for, however long a queue is. Only the very bytes that were pushed are
-- taken: what somebody has edited is left to the gate of a worker, which files it.
-- needs: _claim_header
local function note_stale(queue, subtask, sha1)
  redis.call('HSET', KEY.stale_on .. queue, subtask, sha1)
end

-- Return the subtask that a message is of, if it is stale.
local function stale_subtask(queue, raw)
  local subtask = claim_header(raw)
  local sha1 = subtask and redis.call('HGET', KEY.stale_on .. queue, subtask)
  return sha1 and sha1 == redis.sha1hex(raw) and subtask
end

-- A lane that is empty leaves the round, as in FETCH; a bell would only wake somebody for nothing.
local function strike_lane(queue)
  local base = string.match(queue, '^[^@]*')
  local lanes = KEY.lanes .. base
  if queue ~= base then
    redis.call('ZREM', lanes, queue)
  end
  if redis.call('ZCARD', lanes) == 1 and redis.call('ZSCORE', lanes, base) then
    redis.call('DEL', lanes)
  end
  if redis.call('EXISTS', lanes, base) == 0 then
    redis.call('DEL', KEY.queue_bell .. base)
  end
end

-- What is still noted of a queue that is empty was taken off it by a worker.
local function forget_what_is_gone(queue)
  if redis.call('EXISTS', queue) == 0 then
    strike_lane(queue)
    redis.call('DEL', KEY.stale_on .. queue)
  end
  if redis.call('EXISTS', KEY.stale_on .. queue) == 0 then
    redis.call('SREM', KEY.stale, queue)
  end
end

-- What this script has withdrawn, of all queues: bounded, so that it does not hold up the server.
local withdrawn = {count = 0, bytes = 0}

-- A key that is no list holds no message of ours; to fail on it amid a commit would leave half of one.
local function withdraw_first(queue)
  local raw = redis.pcall('LINDEX', queue, -1)
  local subtask = raw and not raw.err and stale_subtask(queue, raw)
  if subtask then
    redis.call('RPOP', queue)
    redis.call('HDEL', KEY.stale_on .. queue, subtask)
    withdrawn.count, withdrawn.bytes = withdrawn.count + 1, withdrawn.bytes + #raw
  end
  return subtask
end

local function is_enough()
  return withdrawn.count >= LIMIT.WITHDRAW_MAX or withdrawn.bytes >= LIMIT.WITHDRAW_BYTES_MAX
end

local function withdraw(queue)
  while not is_enough() and withdraw_first(queue) do
  end
  forget_what_is_gone(queue)
end

local function count_withdrawn()
  if withdrawn.count > 0 then
    redis.call('HINCRBY', KEY.stats, 'withdrawn', withdrawn.count)
    redis.call('HINCRBY', KEY.stats, 'withdrawn_bytes', withdrawn.bytes)
  end
end
