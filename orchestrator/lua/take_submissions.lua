-- TAKE_SUBMISSIONS: show messages at the door to one orchestrator, for a few seconds.
--
-- KEYS   the lists on which Celery puts them, the one without a priority in front
-- ARGV   op, caller, count; then what the sender of one that is too large is told: the beginning of
--        where it looks for it, and the text, with @id@, @size@ and @letter@ in it
-- Reply  {now ms, when the first that somebody else is at may be had or false, then for each message:
--        the number of its list, its bytes}
--
-- Checks: what is held by others is left out; what the caller holds it is shown again, so a lost reply
-- loses nothing. A message is known by its hash.
-- Writes: who is at which message until when; all of them stay where they are, but for one that is too
-- large to carry: that becomes a letter at once, unless the desk is full, and its sender is told.
-- needs: _time, _amounts, _facets, _news, _letter, _door
local op, caller, count, now = ARGV[1], ARGV[2], amount(ARGV[3]), now_ms()
if not (is_op(op) and is_op(caller)) then
  return refused('op', 'not a short name of letters, digits and _.-')
elseif not count then
  return refused('count', 'not a whole number')
end
local reply, taken, bytes, looked = {now, false}, 0, 0, 0

local function held_until(mark)
  local held = redis.call('HGET', KEY.submissions_held, mark) or ''
  local until_ms, holder = string.match(held, '^(%d+) (.*)$')
  if until_ms and holder ~= caller and tonumber(until_ms) > now then
    return tonumber(until_ms)
  end
end

local function hold(number, raw)
  local mark = redis.sha1hex(raw)
  local until_ms = held_until(mark)
  if until_ms then
    reply[2] = math.min(until_ms, reply[2] or until_ms)
    return
  end
  redis.call('HSET', KEY.submissions_held, mark, digits(now + LIMIT.WAKE_LEASE_MS) .. ' ' .. caller)
  taken, bytes = taken + 1, bytes + #raw
  table.insert(reply, number)
  table.insert(reply, raw)
end

-- By its correlation id, which Celery sets to its own, and without reading it as JSON: it is large, and
-- a stranger wrote it. Inside of a text the quotes would be escaped.
local function tell_sender(raw, letter)
  local ends = {string.sub(raw, -LIMIT.DOOR_EDGE_BYTES), string.sub(raw, 1, LIMIT.DOOR_EDGE_BYTES)}
  local named = '"correlation_id"%s*:%s*"([%w_.:-]+)"'
  local id = string.match(ends[1], named) or string.match(ends[2], named)
  local unwanted = '"ignore_result"%s*:%s*true'
  if id and #id <= LIMIT.KEY_CHARS_MAX
    and not (string.find(ends[1], unwanted) or string.find(ends[2], unwanted)) then
    local words = {id = id, size = digits(#raw), letter = letter}
    answer(ARGV[4] .. id, (string.gsub(ARGV[5], '@(%l+)@', words)))
  end
end

local function set_aside(list, raw)
  if redis.call('ZCARD', KEY.letters) >= LIMIT.LETTERS_MAX then
    return false
  end
  local letter = op .. '.' .. looked
  file_letter(letter, now, {kind = 'oversize', reason = 'oversize',
    why = digits(#raw) .. ' bytes; at most LIMIT.MESSAGE_BYTES_MAX are taken', queue = KEY.submissions,
    size = #raw, bytes = string.sub(raw, 1, LIMIT.LETTER_BYTES_MAX)})
  tell_sender(raw, letter)
  take_away(list, raw)
  redis.call('HINCRBY', KEY.stats, 'door_refused', 1)
  return true
end

-- The oldest is last. One that has been taken away leaves its place to the next.
local function look_through(number, list)
  local place = -1
  while taken < count and bytes < LIMIT.FETCH_BYTES_MAX and looked < LIMIT.DOOR_LOOK_MAX do
    local raw = redis.call('LINDEX', list, place)
    if not raw then
      return
    end
    looked = looked + 1
    if #raw <= LIMIT.MESSAGE_BYTES_MAX then
      hold(number, raw)
      place = place - 1
    elseif not set_aside(list, raw) then
      place = place - 1
    end
  end
end

for number, list in ipairs(KEYS) do
  look_through(number, list)
end
if taken > 0 then
  redis.call('PEXPIRE', KEY.submissions_held, 2 * LIMIT.WAKE_LEASE_MS)
end
return reply
