-- HAND_BACK: return a subtask that was fetched and not started, so that another worker may run it.
--
-- KEYS   claim, lane, the queue it belongs to
-- ARGV   token, 1 if the message comes with it, message
-- Reply  1, or 0 where the subtask is no longer ours; then its message is of no use to anybody
--
-- Checks: the token. A retry answers 1 and pushes nothing again.
-- Writes: the claim, issued again; the message at the end of its lane where the next one is popped;
-- bell.
-- needs: _bell, _lanes, _give_back
local ours, now_issued = give_back(KEYS[1], ARGV[1])
if now_issued then
  redis.call('HINCRBY', KEY.stats, 'handed_back', 1)
end
if now_issued and ARGV[2] == '1' then
  redis.call('RPUSH', KEYS[2], ARGV[3])
  redis.call('HINCRBY', KEY.stats, 'handed_back_bytes', #ARGV[3])
  open_lane(KEYS[3], KEYS[2])
  ring(KEY.queue_bell .. KEYS[3], 1)
end
return ours and 1 or 0
