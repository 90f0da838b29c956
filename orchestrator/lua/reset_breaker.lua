-- RESET_BREAKER: close an agent's breaker by hand and forget its faults.
--
-- KEYS   none
-- ARGV   agent
-- Reply  1, or 0 where nothing was known against it
--
-- Writes: a counter; the breaker, which is gone. Whoever waits for the agent is called in.
-- Resetting twice is resetting once.
-- needs: _time, _amounts, _bell, _breaker, _rouse, _caps, _room
local agent, now = ARGV[1], now_ms()
local breaker = read_breaker(agent, now)
if not breaker.kept then
  return 0
end
redis.call('HINCRBY', KEY.stats, 'breaker_resets', 1)
redis.call('HDEL', KEY.breakers, agent)
serve_room(agent, now)
return 1
