-- SAVE_SUBSCRIPTION: keep a subscription that is new or changed.
--
-- KEYS   none
-- ARGV   subscription, its record as it was read or empty where it is new, its record
-- Reply  saved, changed where somebody else has changed it meanwhile, or full
--
-- Checks: that the record is as it was read; that there is room for a new one. One that is kept
-- already is a retry: saved.
-- Writes: the edition, by which a courier sees that it must look again; the record.
local id, expected, record = ARGV[1], ARGV[2], ARGV[3]
local kept = redis.call('HGET', KEY.subscriptions, id)
if kept == record then
  return 'saved'
elseif (kept or '') ~= expected then
  return 'changed'
elseif not kept and redis.call('HLEN', KEY.subscriptions) >= LIMIT.SUBSCRIPTIONS_MAX then
  return 'full'
end
redis.call('HINCRBY', KEY.courier, 'edition', 1)
redis.call('HSET', KEY.subscriptions, id, record)
return 'saved'
