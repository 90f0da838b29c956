-- How much an agent may have in flight: what an operator has set, else what its workers have declared.
-- Those may declare what they like: what is no figure is no cap.
local function cap_of(agent)
  return amount(redis.call('HGET', KEY.caps, 'agent:' .. agent)
    or redis.call('HGET', KEY.declared_caps, agent))
end
