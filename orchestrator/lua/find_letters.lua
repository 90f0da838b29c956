-- FIND_LETTERS: list open letters that fit a filter, newest first; or count them, by a facet.
--
-- KEYS   none
-- ARGV   list, count, or the facet to count by; offset, count; least age in ms or empty;
--        then facet, value, ...
-- Reply  letters; or how many there are; or value, how many, ...
--
-- Writes nothing. Walks the smallest index that fits, and that no further than it must: letters of
-- one facet are counted by their index alone.
-- needs: _time, _amounts
local what, offset, count = ARGV[1], amount(ARGV[2]), amount(ARGV[3])
local least_age_ms = ARGV[4] == '' and 0 or amount(ARGV[4])
if not (offset and count and least_age_ms) then
  return refused('figures', 'one of them is no whole number from 0 up')
end
local newest = ARGV[4] == '' and '+inf' or digits(math.max(0, now_ms() - least_age_ms))

local function old_enough(index)
  return redis.call('ZCOUNT', index, '-inf', newest)
end

-- The smallest index, how many of it are old enough, and what else its letters must be.
local index, left, others = KEY.letters, old_enough(KEY.letters), {}
for i = 5, #ARGV, 2 do
  local by = KEY.letters_by .. ARGV[i] .. ':' .. ARGV[i + 1]
  local size = old_enough(by)
  table.insert(others, '\n' .. ARGV[i] .. '=' .. ARGV[i + 1] .. '\n')
  if size <= left then
    index, left = by, size
  end
end
local FILTERS = #others

local function fits(facets)
  for _, line in ipairs(others) do
    if not string.find(facets, line, 1, true) then
      return false
    end
  end
  return true
end

-- Show letters that fit to `see`, newest first, until it says that it has seen enough.
local function walk(see)
  local last = redis.call('ZCARD', index) - 1
  for from = last + 1 - left, last, LIMIT.LUA_ARGS_MAX do
    local letters = redis.call('ZREVRANGE', index, from, from + LIMIT.LUA_ARGS_MAX - 1)
    for i, facets in ipairs(redis.call('HMGET', KEY.letter_facets, unpack(letters))) do
      if fits(facets) and see(letters[i], facets) then
        return
      end
    end
  end
end

local function list()
  if FILTERS <= 1 then
    local first = redis.call('ZCARD', index) - left + offset
    return count > 0 and redis.call('ZREVRANGE', index, first, first + count - 1) or {}
  end
  local found, passed = {}, 0
  walk(function(letter)
    passed = passed + 1
    if passed > offset then
      table.insert(found, letter)
    end
    return #found >= count
  end)
  return found
end

local function how_many()
  if FILTERS <= 1 then
    return left
  end
  local found = 0
  walk(function()
    found = found + 1
  end)
  return found
end

local function by_value(facet)
  local counted = {}
  if FILTERS == 0 then
    for _, value in ipairs(redis.call('SMEMBERS', KEY.letter_values .. facet)) do
      counted[value] = old_enough(KEY.letters_by .. facet .. ':' .. value)
    end
    return counted
  end
  local pattern = '\n' .. facet .. '=([^\n]*)'
  walk(function(_, facets)
    local value = string.match(facets, pattern)
    counted[value] = (counted[value] or 0) + 1
  end)
  return counted
end

if what == 'list' then
  return list()
elseif what == 'count' then
  return how_many()
end
local flat = {}
for value, letters in pairs(by_value(what)) do
  if letters > 0 then
    table.insert(flat, value)
    table.insert(flat, letters)
  end
end
return flat
