-- REGISTER: say which agents this worker runs, and what the orchestrator must know of them.
--
-- KEYS   none
-- ARGV   agent, record (JSON), cap on what it has in flight or empty, ...
-- Reply  how many agents
--
-- Checks: every cap.
-- Writes: the agents' records and their caps. The last worker to start has the last word.
-- needs: _amounts
for i = 1, #ARGV, 3 do
  if ARGV[i + 2] ~= '' and not amount(ARGV[i + 2]) then
    return refused('in_flight_max', 'not a whole number')
  end
end
for i = 1, #ARGV, 3 do
  redis.call('HSET', KEY.agents, ARGV[i], ARGV[i + 1])
  if ARGV[i + 2] == '' then
    redis.call('HDEL', KEY.declared_caps, ARGV[i])
  else
    redis.call('HSET', KEY.declared_caps, ARGV[i], ARGV[i + 2])
  end
end
return #ARGV / 3
