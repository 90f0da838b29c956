-- ACCEPT_SUBMISSION: make a task of a message at the door, once, and take the message away.
--
-- KEYS   the message's list, task, idempotency record; and where its sender waits for the answer, if
--        anywhere
-- ARGV   the message, task id, request, tenant, retention ms, timeout ms; what the answer says before
--        the task's id, and behind it
-- Reply  {task id, 1 if this very message made it, now ms}; the id is empty where the message is gone
--        and no task was made of it, because another orchestrator has judged otherwise
--
-- Checks: that the message is there; the idempotency record. The same task id again is a retry.
-- Writes: what _accept.lua says, or where the record stands for a task already nothing of that; then
-- the answer; last the message goes, so that it is never gone before its task is there.
-- needs: _time, _amounts, _bell, _news, _rouse, _places, _stages, _accept, _door
local list, key, idem, result = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local raw, id, request, tenant, timeout_ms = ARGV[1], ARGV[2], ARGV[3], ARGV[4], amount(ARGV[6])
local now = now_ms()
if not amount(ARGV[5]) then
  return refused('retention_ms', 'not a whole number')
elseif not timeout_ms then
  return refused('timeout_ms', 'not a whole number')
end
local holder = redis.call('GET', idem)
if holder == id then
  return {id, 1, now}
elseif not lies_there(list, raw) then
  return {holder or '', 0, now}
end

if not holder then
  accept(key, idem, now, id, request, tenant, ARGV[5], timeout_ms)
end
redis.call('HINCRBY', KEY.stats, holder and 'door_known' or 'door_accepted', 1)
answer(result, ARGV[7] .. (holder or id) .. ARGV[8])
take_away(list, raw)
return {holder or id, holder and 0 or 1, now}
