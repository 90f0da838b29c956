-- The books of a day: what was spent, by tenant, agent and model. They are written by the commit that
-- settles a claim, from the claim's own figures, which are what the task's ledger books as well: so
-- the books of all days together are the ledgers of all tasks together, whoever has died meanwhile.
--
-- One row is the field tenant|agent|model and a line of six figures:
--   tokens, micro-dollars, calls; then of how many settled subtasks: served, at fault, neither
-- A subtask counts once, at the first model that it has called.
local DAY_MS = 24 * 3600 * 1000
local OTHER = '(other)|(other)|(other)'
local COUNTED = {ok = 4, fault = 5, [''] = 6}

local function read_row(key, field)
  local line, row = redis.call('HGET', key, field), {0, 0, 0, 0, 0, 0}
  local place = 0
  for figure in string.gmatch(line or '', '%d+') do
    place = place + 1
    row[place] = tonumber(figure)
  end
  return row, line
end

-- A caller makes up tenants and a worker models, so a day has no more rows than these; what comes
-- later is added up in one. A sum stops where whole numbers do.
local function add_to_row(key, field, figures)
  local row, known = read_row(key, field)
  if not known and redis.call('HLEN', key) >= LIMIT.SPEND_ROWS_MAX then
    field = OTHER
    row = read_row(key, field)
  end
  for place, figure in ipairs(figures) do
    row[place] = digits(math.min(row[place] + figure, LIMIT.SPEND_CEILING))
  end
  redis.call('HSET', key, field, table.concat(row, ' '))
  if not known then
    redis.call('PEXPIRE', key, LIMIT.SPEND_KEPT_MS)
  end
end

-- Share a claim's figures out among its models. What was booked without a model's name is the rest;
-- the allowance bounds the sum, and with it what is left for those that come last.
local function shares_of(spent)
  local left, shares = {spent.t, spent.u, spent.c}, {}
  for t, u, c, model in string.gmatch(spent.models or '', '(%d+):(%d+):(%d+):([^;]*);') do
    local share = {tonumber(t), tonumber(u), tonumber(c), 0, 0, 0}
    for d = 1, 3 do
      share[d] = math.min(share[d], left[d])
      left[d] = left[d] - share[d]
    end
    table.insert(shares, {model = model, figures = share})
  end
  if #shares == 0 or left[1] + left[2] + left[3] > 0 then
    table.insert(shares, {model = '', figures = {left[1], left[2], left[3], 0, 0, 0}})
  end
  return shares
end

-- Add up what one commit settles, so that a row is written once however wide the task is.
local function note_spent(rows, tenant, agent, verdict, spent)
  local shares = shares_of(spent)
  shares[1].figures[COUNTED[verdict]] = 1
  for _, share in ipairs(shares) do
    local field = tenant .. '|' .. agent .. '|' .. share.model
    if not rows[field] then
      rows[field] = {0, 0, 0, 0, 0, 0}
      table.insert(rows, field)
    end
    for place, figure in ipairs(share.figures) do
      rows[field][place] = rows[field][place] + figure
    end
  end
end

local function write_books(rows, now)
  local key = KEY.spend .. math.floor(now / DAY_MS)
  for _, field in ipairs(rows) do
    add_to_row(key, field, rows[field])
  end
end
