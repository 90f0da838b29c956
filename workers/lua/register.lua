-- REGISTER: say which agents this worker runs, and what the orchestrator must know of them.
--
-- KEYS   none
-- ARGV   agent, record (JSON), ...
-- Reply  how many agents
--
-- Writes: the agents' records. The last worker to start has the last word.
for i = 1, #ARGV, 2 do
  redis.call('HSET', KEY.agents, ARGV[i], ARGV[i + 1])
end
return #ARGV / 2
