-- LOOK: show the claims of open subtasks, and take some of them away.
--
-- KEYS   none
-- ARGV   task id, then for each claim: its number, 1 to revoke it or 0 only to look
-- Reply  for each claim {state, tokens, usd micros, calls, since ms, beat ms, 1 if its message may
--        still lie on its queue}; state is absent where there is no record
--
-- A reported claim is never revoked: its envelope is in the mail. Revoking twice is revoking once.
-- needs: _time
local now = now_ms()

-- Queues are first in, first out. So if the oldest message there was issued after this claim, this
-- claim's own message is gone. A message that names no time counts as older: better late than twice.
local oldest_by_queue = {}
local function oldest_issued(queue)
  local known = oldest_by_queue[queue]
  if known == nil then
    local message = redis.call('LINDEX', queue, -1)
    local at = message and string.find(message, 'issued_ms', 1, true)
    local issued = at and string.match(message, '^issued_ms\\*":%s*(%d+)', at)
    known = message and (tonumber(issued) or 0) or false
    oldest_by_queue[queue] = known
  end
  return known
end

local function may_be_queued(queue, published_ms)
  if now - published_ms <= LIMIT.PATIENCE_MS then
    return true
  end
  local issued = oldest_issued(queue)
  return issued and issued <= published_ms
end

-- One that fell silent was lost; any other was stopped by its owner, with its worker alive.
local function count_revoked(beat_ms)
  local lost = beat_ms and now - tonumber(beat_ms) > LIMIT.LEASE_MS
  redis.call('HINCRBY', KEY.stats, lost and 'claims_lost' or 'claims_stopped', 1)
end

local seen = {}
for i = 2, #ARGV, 2 do
  local key = KEY.claim .. ARGV[1] .. '/' .. ARGV[i]
  local c = redis.call('HMGET', key, 'state', 't', 'u', 'c', 'since_ms', 'beat_ms', 'queue',
    'published_ms')
  local state, queued = c[1] or 'absent', true
  if ARGV[i + 1] == '1' and (state == 'issued' or state == 'claimed') then
    if state == 'claimed' then
      count_revoked(c[6])
    end
    state = 'revoked'
    redis.call('HSET', key, 'state', state)
  elseif state == 'issued' then
    queued = may_be_queued(c[7], tonumber(c[8]))
  end
  seen[#seen + 1] = {
    state, c[2] or '0', c[3] or '0', c[4] or '0', c[5] or '0', c[6] or '0', queued and 1 or 0,
  }
end
return seen
