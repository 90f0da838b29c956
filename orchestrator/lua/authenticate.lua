-- AUTHENTICATE: whose credential is this, and may they call now?
--
-- KEYS   none
-- ARGV   token, id, hash of the secret, address
--        or session, hash of the cookie, empty, address
-- Reply  {the token's JSON, 0}; {the JSON, ms to wait} for one that has called too often;
--        {'', ms to wait} where nothing fits: 0 ms unless too many wrong ones came from the address
--
-- The right credential always passes, however many wrong ones came from its address: a neighbour
-- who guesses locks nobody out. Sent twice, a call is counted twice, and nothing else happens.
-- needs: _time, _callers
local kind, id, hash, address = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local now = now_ms()
if kind == 'session' then
  id, hash = redis.call('GET', KEY.session .. id), nil
end
local text, per_minute
if id then
  text, per_minute = token_of(id, hash, now)
end
if not text then
  return {'', count_failure(address)}
end
return {text, count_call(id, per_minute, now)}
