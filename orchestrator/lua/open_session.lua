-- OPEN_SESSION: log in at the console, by a bearer token or by a code that is good for once.
--
-- KEYS   none
-- ARGV   token, id, hash of the secret, address, hash of the new cookie
--        or code, hash of the code, empty, address, hash of the new cookie
-- Reply  as AUTHENTICATE has it; whoever is to wait has no session yet
--
-- A login by a token is a call of it: else whoever has one could fill the server with sessions.
--
-- Checks: a session of this hash is there already (a retry: the same answer); the token is there,
-- its secret fits, its time is not over; or the code is there, and its token.
-- Writes: the session; the code is gone.
-- needs: _time, _callers
local kind, id, hash, address = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local session, now = KEY.session .. ARGV[5], now_ms()
local opened = redis.call('GET', session)
if opened then
  local text = token_of(opened, nil, now)
  return {text or '', 0}
end
local code
if kind == 'code' then
  code = KEY.code .. id
  id, hash = redis.call('GET', code), nil
end
local text, per_minute
if id then
  text, per_minute = token_of(id, hash, now)
end
if not text then
  return {'', count_failure(address)}
end
local wait_ms = code and 0 or count_call(id, per_minute, now)
if wait_ms > 0 then
  return {text, wait_ms}
end
redis.call('SET', session, id, 'PX', LIMIT.SESSION_MS)
if code then
  redis.call('DEL', code)
end
return {text, 0}
