-- REPORT: put a subtask's envelope into its task's mail, with what was charged on it.
--
-- KEYS   claim, mail; the task is only read, and a key that is declared must be writable
-- ARGV   task id, subtask number, token, envelope, then ended calls as in CHARGE
-- Reply  ok or revoked
--
-- Checks: every figure; the envelope's size; that this very report was not made before (a retry:
-- ok); that the subtask is ours, and its task is there and not over.
-- Writes: the claim, with calls still in flight at their worst case; mail; alarm now and bell,
-- unless an orchestrator holds the task (its COMMIT sees the mail); a counter.
-- needs: _time, _amounts, _bell, _settle
local id, number, token, envelope = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local settlements = read_settlements(5)
if not settlements then
  return refused('settled', 'a figure is no whole number from 0 up, or an op no short name')
elseif #envelope > LIMIT.ENVELOPE_BYTES_MAX then
  return refused('envelope', #envelope .. ' bytes, at most LIMIT.ENVELOPE_BYTES_MAX are taken')
end

local claim = read_claim(KEYS[1])
if claim.state == 'reported' and claim.token == token then
  return 'ok'
end
local task = redis.call('HMGET', KEY.task .. id, 'version', 'outcome', 'held_until')
if claim.state ~= 'claimed' or claim.token ~= token or not task[1] or task[2] then
  redis.call('HINCRBY', KEY.stats, 'fenced_reports', 1)
  return 'revoked'
end

settle(claim, settlements)
claim.state = 'reported'
write_claim(claim)
local sums = charged(claim)
local head = {'report', number, token, digits(sums.t), digits(sums.u), digits(sums.c)}
redis.call('RPUSH', KEYS[2], table.concat(head, ' ') .. '\n' .. envelope)
wake(id, task[3], now_ms())
redis.call('HINCRBY', KEY.stats, 'reports', 1)
return 'ok'
