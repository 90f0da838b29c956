-- An agent's breaker is one line of figures, so that it is read and written at once:
--   faults in a row; when the newer half of the window began; ended and faults in it; ended and
--   faults in the half before it; when it may be probed, 0 while it is closed; the probe or -
-- Verdicts are counted in two halves of a window, so that no list of them is kept.
local HALF_WINDOW_MS = LIMIT.BREAKER_WINDOW_MS / 2

local function closed_breaker(now)
  return {row = 0, since = now - now % HALF_WINDOW_MS, ended = 0, faults = 0, ended_before = 0,
    faults_before = 0, opens_ms = 0, probe = '-'}
end

-- Nothing is kept of an agent that never had a fault.
local function read_breaker(agent, now)
  local line = redis.call('HGET', KEY.breakers, agent)
  if not line then
    return closed_breaker(now)
  end
  local words = {}
  for word in string.gmatch(line, '%S+') do
    words[#words + 1] = word
  end
  return {row = tonumber(words[1]), since = tonumber(words[2]), ended = tonumber(words[3]),
    faults = tonumber(words[4]), ended_before = tonumber(words[5]),
    faults_before = tonumber(words[6]), opens_ms = tonumber(words[7]), probe = words[8],
    kept = true}
end

local function write_breaker(agent, b)
  local figures = {b.row, b.since, b.ended, b.faults, b.ended_before, b.faults_before, b.opens_ms}
  for i, figure in ipairs(figures) do
    figures[i] = digits(figure)
  end
  redis.call('HSET', KEY.breakers, agent, table.concat(figures, ' ') .. ' ' .. b.probe)
end

local function is_open(breaker)
  return breaker.opens_ms > 0
end

-- How many subtasks a breaker lets out now: any number, one probe, or none.
local function lets_out(breaker, now)
  if not is_open(breaker) then
    return math.huge
  end
  return (now >= breaker.opens_ms and breaker.probe == '-') and 1 or 0
end

local function opened(now)
  local breaker = closed_breaker(now)
  breaker.opens_ms = now + LIMIT.BREAKER_OPEN_MS
  redis.call('HINCRBY', KEY.stats, 'breaker_opened', 1)
  return breaker
end

local function move_window(b, now)
  local since = now - now % HALF_WINDOW_MS
  if since > b.since then
    local adjoins = since - b.since == HALF_WINDOW_MS
    b.ended_before, b.faults_before = adjoins and b.ended or 0, adjoins and b.faults or 0
    b.since, b.ended, b.faults = since, 0, 0
  end
end

local function count(b, fault, now)
  move_window(b, now)
  b.ended, b.faults = b.ended + 1, b.faults + (fault and 1 or 0)
  b.row = fault and b.row + 1 or 0
  local ended, faults = b.ended + b.ended_before, b.faults + b.faults_before
  local often = faults * 100 >= ended * LIMIT.BREAKER_RATE_PERCENT
  if fault and (b.row >= LIMIT.BREAKER_FAULTS or (often and ended >= LIMIT.BREAKER_CALLS_MIN)) then
    return opened(now)
  end
  return b
end

-- The breaker after one verdict: ok, fault, or empty, which says nothing of the agent. While it is
-- open only the probe decides: what was sent before says how the agent was then.
local function judge(breaker, subtask, verdict, now)
  if not is_open(breaker) then
    return verdict == '' and breaker or count(breaker, verdict == 'fault', now)
  elseif breaker.probe ~= subtask then
    return breaker
  elseif verdict == 'fault' then
    return opened(now)
  elseif verdict == 'ok' then
    redis.call('HINCRBY', KEY.stats, 'breaker_closed', 1)
    return closed_breaker(now)
  end
  breaker.probe = '-'
  return breaker
end
