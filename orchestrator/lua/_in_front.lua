-- A list goes on at a place: the moment and the id of the last one shown, the newest in front. How
-- many stand in front of what comes next: all of a later moment, and of the same moment those whose
-- id is greater or the same, in the server's own order, which is by bytes and not by locale.
local function is_greater(one, other)
  for i = 1, math.min(#one, #other) do
    local a, b = string.byte(one, i), string.byte(other, i)
    if a ~= b then
      return a > b
    end
  end
  return #one > #other
end

local function in_front(index, ms, id)
  local low = redis.call('ZCOUNT', index, '(' .. ms, '+inf')
  local high = low + redis.call('ZCOUNT', index, ms, ms)
  while low < high do
    local middle = math.floor((low + high) / 2)
    local there = redis.call('ZREVRANGE', index, middle, middle)[1]
    if there == id or is_greater(there, id) then
      low = middle + 1
    else
      high = middle
    end
  end
  return low
end
