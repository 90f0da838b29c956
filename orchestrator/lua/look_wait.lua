-- LOOK_WAIT: what is at this address, at which one question is answered?
--
-- KEYS   none
-- ARGV   hash of the address's secret, who asks
-- Reply  {state, ms to wait, letter, task, by, until ms}: state is open, answered, or over; or
--        {'', ms to wait} where there is no such address: 0 ms unless too many wrong ones came
--
-- Counts the call, or the failure. Sent twice, it is counted twice, and nothing else happens.
-- needs: _time, _callers
local hash, now = ARGV[1], now_ms()
local letter, task, by, until_ms, op =
  unpack(redis.call('HMGET', KEY.wait .. hash, 'letter', 'task', 'by', 'until_ms', 'op'), 1, 5)
if not letter then
  return {'', count_failure(ARGV[2])}
end
local state = op and 'answered' or (tonumber(until_ms) <= now and 'over' or 'open')
local wait_ms = count_call('wait.' .. hash, LIMIT.WAIT_PER_MINUTE, now)
return {state, wait_ms, letter, task, by, tonumber(until_ms)}
