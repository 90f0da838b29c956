-- PURGE_DELIVERIES: forget deliveries that nobody is at.
--
-- KEYS   none
-- ARGV   subscription, delivery, ...
-- Reply  how many were there
--
-- Checks: one that a courier is sending stays; it is over in a moment.
-- Writes: it only removes, which a full server allows: the delivery, and its places in the outbox and
-- among those that are over. Purging twice is purging once.
local subscription, gone = ARGV[1], 0
for i = 2, #ARGV do
  local delivery = ARGV[i]
  local state = redis.call('HGET', KEY.delivery .. delivery, 'state')
  if state and state ~= 'sending' then
    redis.call('ZREM', KEY.outbox .. subscription, delivery)
    redis.call('LREM', KEY.delivered .. subscription, 1, delivery)
    redis.call('DEL', KEY.delivery .. delivery)
    gone = gone + 1
  end
end
return gone
