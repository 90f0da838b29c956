-- SET_CAP: bound what an agent may have in flight, or a tenant at work.
--
-- KEYS   none
-- ARGV   agent or tenant, name, cap or empty for what holds where an operator has set none
-- Reply  how many waiting tasks were admitted: LIMIT.ADMIT_MAX where more may be waiting
--
-- Checks: the kind, the figure. Setting it twice is setting it once.
-- Writes: the cap. Whoever the new one has room for is woken.
-- needs: _time, _amounts, _bell, _breaker, _rouse, _caps, _room, _places
local kind, name, cap = ARGV[1], ARGV[2], ARGV[3]
local now = now_ms()
if kind ~= 'agent' and kind ~= 'tenant' then
  return refused('kind', 'neither agent nor tenant')
elseif cap ~= '' and not amount(cap) then
  return refused('cap', 'not a whole number from 0 up')
end

redis.call('HSET', KEY.caps, kind .. ':' .. name, cap)
if cap == '' then
  redis.call('HDEL', KEY.caps, kind .. ':' .. name)
end
if kind == 'tenant' then
  return admit(name, now)
end
serve_room(name, now)
return 0
