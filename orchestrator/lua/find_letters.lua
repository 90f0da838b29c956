-- FIND_LETTERS: list open letters that fit a filter, newest first; or count them, by a facet.
--
-- KEYS   none
-- ARGV   list, count, or the facet to count by; count; ms and id of the place to go on behind, or
--        empty; least age in ms or empty; then facet, value, ... of at most all facets
-- Reply  letter, filed ms, ...; or how many there are; or value, how many, ...
--
-- Writes nothing. What no index tells is found by a walk through the smallest one that fits, and
-- that no further than it must.
-- needs: _time, _amounts, _facets, _in_front
local what, count, before_ms, before_id = ARGV[1], amount(ARGV[2]), ARGV[3], ARGV[4]
local least_age_ms, FIRST = ARGV[5] == '' and 0 or amount(ARGV[5]), 6
if not (count and least_age_ms and (before_ms == '' or amount(before_ms))) then
  return refused('figures', 'one of them is no whole number from 0 up')
end
for i = FIRST, #ARGV, 2 do
  if not RANK[ARGV[i]] then
    return refused('facet', 'it is none by which letters are found')
  end
end
if not (RANK[what] or what == 'list' or what == 'count') then
  return refused('what', 'neither list nor count nor a facet')
end
local newest = ARGV[5] == '' and '+inf' or digits(math.max(0, now_ms() - least_age_ms))

local function old_enough(index)
  return redis.call('ZCOUNT', index, '-inf', newest)
end

-- The smallest index, how many of it are old enough, and what its letters must be.
local index, left, wanted, lines = KEY.letters, old_enough(KEY.letters), {}, {}
for i = FIRST, #ARGV, 2 do
  table.insert(wanted, {ARGV[i], ARGV[i + 1]})
  table.insert(lines, '\n' .. ARGV[i] .. '=' .. ARGV[i + 1] .. '\n')
end
for _, by in ipairs(indexes_of(wanted)) do
  local size = old_enough(by)
  if size <= left then
    index, left = by, size
  end
end
-- Of one or two facets there is an index that holds the wanted letters and no others.
local EXACT = #wanted <= 2
if #wanted == 2 then
  index = index_of_two(wanted[1][1], wanted[1][2], wanted[2][1], wanted[2][2])
  left = old_enough(index)
end

local function fits(facets)
  for _, line in ipairs(lines) do
    if not string.find(facets, line, 1, true) then
      return false
    end
  end
  return true
end

-- Where to begin: behind what is too new, and behind the place.
local function first()
  local too_new = redis.call('ZCARD', index) - left
  return before_ms == '' and too_new or math.max(too_new, in_front(index, before_ms, before_id))
end

-- Show letters that fit to `see`, newest first, until it says that it has seen enough.
local function walk(see)
  for from = first(), redis.call('ZCARD', index) - 1, LIMIT.LUA_ARGS_MAX do
    local letters = redis.call('ZREVRANGE', index, from, from + LIMIT.LUA_ARGS_MAX - 1)
    for i, facets in ipairs(redis.call('HMGET', KEY.letter_facets, unpack(letters))) do
      if fits(facets) and see(letters[i], facets) then
        return
      end
    end
  end
end

local function list()
  if count == 0 then
    return {}
  elseif EXACT then
    local from = first()
    return redis.call('ZREVRANGE', index, from, from + count - 1, 'WITHSCORES')
  end
  local found = {}
  walk(function(letter)
    table.insert(found, letter)
    table.insert(found, redis.call('ZSCORE', index, letter))
    return #found >= 2 * count
  end)
  return found
end

local function how_many()
  if EXACT then
    return left
  end
  local found = 0
  walk(function()
    found = found + 1
  end)
  return found
end

local function by_value(facet)
  local counted, one = {}, wanted[1]
  if #wanted == 0 or (#wanted == 1 and one[1] ~= facet) then
    for _, value in ipairs(redis.call('SMEMBERS', KEY.letter_values .. facet)) do
      local by = one and index_of_two(facet, value, one[1], one[2]) or index_of(facet, value)
      counted[value] = old_enough(by)
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
