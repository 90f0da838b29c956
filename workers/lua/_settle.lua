-- Needs _amounts. What a subtask may spend, has spent, and has in flight.
--
-- A call in flight is booked at its worst case and stands in `calls` as "op:tokens:usd:calls:n;",
-- where n says by which model it is booked: the nth in `models`, "tokens:usd:calls:name;" each, which
-- add up what was booked by that name, ended or in flight; 0 where the call named none.
-- When it has ended, its real figures take the place of the worst case: lower, and the rest is free
-- again; higher, and it is booked in full as far as the allowance holds. What goes beyond is kept
-- beside it in `over`: dropped, it would look free once another call turns out cheaper.
local DIMENSIONS = {'t', 'u', 'c'}

-- Read ARGV[first..] as a count and then {op, tokens, usd micros, calls} each; nil if unsound.
local function read_settlements(first)
  local count, settlements = amount(ARGV[first]), {}
  if not count then
    return nil
  end
  for i = first + 1, first + 4 * count, 4 do
    local t, u, c = amount(ARGV[i + 1]), amount(ARGV[i + 2]), amount(ARGV[i + 3])
    if not (is_op(ARGV[i]) and t and u and c) then
      return nil
    end
    settlements[#settlements + 1] = {op = ARGV[i], t = t, u = u, c = c}
  end
  return settlements
end

-- Read a claim: its state, all it has spent (booked and over), its calls in flight.
local function read_claim(key)
  local names = {'state', 'token', 'until_ms', 'calls', 't', 'u', 'c', 'allow_t', 'allow_u',
    'allow_c', 'over', 'models'}
  local v = redis.call('HMGET', key, unpack(names))
  local over = v[11] or '0:0:0'
  local over_t, over_u, over_c = string.match(over, '^(%d+):(%d+):(%d+)$')
  local claim = {
    key = key, state = v[1], token = v[2], until_ms = tonumber(v[3] or 0),
    over = over, flying = {}, models = {}, named = v[12] or '',
    t = (v[5] or 0) + over_t, u = (v[6] or 0) + over_u, c = (v[7] or 0) + over_c,
    -- Unbounded still has a bound: the largest figure that anybody may book.
    allow = {t = tonumber(v[8]) or LIMIT.AMOUNT_CEILING, u = tonumber(v[9]) or LIMIT.AMOUNT_CEILING,
      c = tonumber(v[10]) or LIMIT.AMOUNT_CEILING},
  }
  for op, t, u, c, n in string.gmatch(v[4] or '', '([^:;]+):(%d+):(%d+):(%d+):(%d+);') do
    claim.flying[#claim.flying + 1] = {op = op, t = tonumber(t), u = tonumber(u), c = tonumber(c),
      n = tonumber(n)}
  end
  for t, u, c, name in string.gmatch(claim.named, '(%d+):(%d+):(%d+):([^;]+);') do
    table.insert(claim.models, {t = tonumber(t), u = tonumber(u), c = tonumber(c), name = name})
  end
  return claim
end

local function flight_of(claim, op)
  for number, call in ipairs(claim.flying) do
    if call.op == op then
      return number
    end
  end
end

-- Say by which model a call is booked. A claim has few of them; what comes later has one name.
local OTHER_MODEL = '(other)'
local function model_of(claim, name)
  if name == '' then
    return 0
  end
  for number, model in ipairs(claim.models) do
    if model.name == name then
      return number
    end
  end
  if #claim.models >= LIMIT.CLAIM_MODELS_MAX and name ~= OTHER_MODEL then
    return model_of(claim, OTHER_MODEL)
  end
  table.insert(claim.models, {name = name, t = 0, u = 0, c = 0})
  return #claim.models
end

local function add(claim, n, d, figure)
  claim[d] = claim[d] + figure
  if n > 0 then
    claim.models[n][d] = claim.models[n][d] + figure
  end
end

-- Book the real figures of ended calls; one that is not in flight was settled before.
local function settle(claim, settlements)
  for _, real in ipairs(settlements) do
    local number = flight_of(claim, real.op)
    if number then
      local worst = table.remove(claim.flying, number)
      for _, d in ipairs(DIMENSIONS) do
        add(claim, worst.n, d, real[d] - worst[d])
      end
    end
  end
end

-- What counts as charged: everything, as far as the allowance holds.
local function charged(claim)
  local sums = {}
  for _, d in ipairs(DIMENSIONS) do
    sums[d] = math.min(claim[d], claim.allow[d])
  end
  return sums
end

local function sums_text(sums)
  return digits(sums.t) .. ':' .. digits(sums.u) .. ':' .. digits(sums.c)
end

local function write_models(claim)
  local names = {}
  for _, model in ipairs(claim.models) do
    table.insert(names, sums_text(model) .. ':' .. model.name .. ';')
  end
  local named = table.concat(names)
  if named ~= claim.named then
    redis.call('HSET', claim.key, 'models', named)
  end
end

local function write_claim(claim)
  local sums, calls = charged(claim), {}
  for _, call in ipairs(claim.flying) do
    calls[#calls + 1] = call.op .. ':' .. sums_text(call) .. ':' .. call.n .. ';'
  end
  redis.call('HSET', claim.key, 'state', claim.state, 't', digits(sums.t), 'u', digits(sums.u),
    'c', digits(sums.c), 'calls', table.concat(calls))
  local over = digits(claim.t - sums.t) .. ':' .. digits(claim.u - sums.u) .. ':'
    .. digits(claim.c - sums.c)
  if over ~= claim.over then
    redis.call('HSET', claim.key, 'over', over)
  end
  write_models(claim)
end
