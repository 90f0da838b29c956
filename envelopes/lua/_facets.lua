-- The indexes in which an open letter stands: one for each of its facets, and one for each two of
-- them, so that whoever filters by two, or counts one kind by reason, walks through nothing.
local FACETS = {'kind', 'reason', 'agent', 'tenant'}
local RANK = {kind = 1, reason = 2, agent = 3, tenant = 4}

local function index_of(facet, value)
  return KEY.letters_by .. facet .. ':' .. value
end

local function index_of_two(facet, value, other, its_value)
  if RANK[facet] > RANK[other] then
    facet, value, other, its_value = other, its_value, facet, value
  end
  return index_of(facet, value) .. '|' .. other .. ':' .. its_value
end

-- `facets` is a list of pairs, in any order.
local function indexes_of(facets)
  local names = {}
  for i, one in ipairs(facets) do
    table.insert(names, index_of(one[1], one[2]))
    for j = i + 1, #facets do
      table.insert(names, index_of_two(one[1], one[2], facets[j][1], facets[j][2]))
    end
  end
  return names
end
