-- CHARGE: book a call at its worst case before it is made.
--
-- KEYS   claim
-- ARGV   token, op, worst tokens, worst usd micros, worst calls, the model by whose name it is booked
--        or empty, then ended calls: their number, and for each op, tokens, usd micros, calls as they
--        really were
-- Reply  ok, exhausted, revoked or late
--
-- Checks: every figure and name; that the subtask is ours; a call already in flight under this op is a
-- retry. Then ended calls are settled, time or no time, since they are spent. Then the time, then
-- the allowance in every dimension.
-- Writes: the settlements; the new call, only if all dimensions hold it; a counter.
-- needs: _time, _amounts, _settle
local token, op, model = ARGV[1], ARGV[2], ARGV[6]
local worst = {op = op, t = amount(ARGV[3]), u = amount(ARGV[4]), c = amount(ARGV[5])}
local settlements = read_settlements(7)
if not is_op(op) then
  return refused('op', 'not a short name of letters, digits and _.-')
elseif not (worst.t and worst.u and worst.c) then
  return refused('worst', 'a figure is no whole number from 0 up')
elseif #model > LIMIT.MODEL_BYTES_MAX or string.find(model, '[%c;|]') then
  return refused('model', 'not a name of at most LIMIT.MODEL_BYTES_MAX bytes without ; and |')
elseif not settlements then
  return refused('settled', 'a figure is no whole number from 0 up, or an op no short name')
end

local claim = read_claim(KEYS[1])
if claim.state ~= 'claimed' or claim.token ~= token then
  redis.call('HINCRBY', KEY.stats, 'fenced_charges', 1)
  return 'revoked'
end

local function holds()
  for _, d in ipairs(DIMENSIONS) do
    if claim[d] + worst[d] > claim.allow[d] then
      return false
    end
  end
  return true
end

local function book()
  worst.n = model_of(claim, model)
  for _, d in ipairs(DIMENSIONS) do
    add(claim, worst.n, d, worst[d])
  end
  claim.flying[#claim.flying + 1] = worst
end

local answer, counter
settle(claim, settlements)
if flight_of(claim, op) then
  answer = 'ok'
elseif now_ms() > claim.until_ms then
  answer, counter = 'late', 'late_charges'
elseif not holds() then
  answer, counter = 'exhausted', 'refused_charges'
else
  book()
  answer, counter = 'ok', 'charges'
end
if counter == 'charges' or #settlements > 0 then
  write_claim(claim)
end
if counter then
  redis.call('HINCRBY', KEY.stats, counter, 1)
end
return answer
