-- LOOK: show the claims of open subtasks, and take some of them away.
--
-- KEYS   none
-- ARGV   task id, then for each claim: its number, 1 to revoke it or 0 only to look
-- Reply  for each claim {state, tokens, usd micros, calls, since ms, beat ms, 1 if its message may
--        still lie on its queue}; state is absent where there is no record
--
-- A reported claim is never revoked: its envelope is in the mail. Revoking twice is revoking once.
-- needs: _time, _issued
local now, oldest = now_ms(), {}

-- If the oldest message on its queue was issued after this claim, the claim's own message is gone.
-- One that names no time counts as older: better late than twice.
local function may_be_queued(queue, published_ms)
  if now - published_ms <= LIMIT.PATIENCE_MS then
    return true
  end
  if oldest[queue] == nil then
    oldest[queue] = oldest_issued_ms(queue)
  end
  return oldest[queue] and oldest[queue] <= published_ms
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
