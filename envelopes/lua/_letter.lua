-- needs: _amounts, _facets, _news
-- Dead letters: put on the desk, found there by what they are about, told of, and taken off it.
local function index_letter(letter, filed_ms, fields)
  local facets, lines = {}, {''}
  for _, facet in ipairs(FACETS) do
    table.insert(facets, {facet, fields[facet]})
    table.insert(lines, facet .. '=' .. fields[facet])
    redis.call('SADD', KEY.letter_values .. facet, fields[facet])
  end
  for _, index in ipairs(indexes_of(facets)) do
    redis.call('ZADD', index, filed_ms, letter)
  end
  table.insert(lines, '')
  redis.call('HSET', KEY.letter_facets, letter, table.concat(lines, '\n'))
  redis.call('ZADD', KEY.letters, filed_ms, letter)
end

local function unindex_letter(letter)
  local facets = {}
  local lines = redis.call('HGET', KEY.letter_facets, letter) or ''
  for facet, value in string.gmatch(lines, '(%l+)=([^\n]*)') do
    table.insert(facets, {facet, value})
  end
  for _, index in ipairs(indexes_of(facets)) do
    redis.call('ZREM', index, letter)
  end
  for _, each in ipairs(facets) do
    if redis.call('EXISTS', index_of(each[1], each[2])) == 0 then
      redis.call('SREM', KEY.letter_values .. each[1], each[2])
    end
  end
  redis.call('HDEL', KEY.letter_facets, letter)
  redis.call('ZREM', KEY.letters, letter)
  redis.call('ZREM', KEY.letters_due, letter)
end

-- A queue's name ends in its agent and, in a tenant's lane, the tenant. What lies on a queue that
-- is none of ours is nobody's.
local function addressee(queue)
  local agent, tenant = '', ''
  if string.sub(queue, 1, #KEY.queue) == KEY.queue then
    agent, tenant = string.match(string.sub(queue, #KEY.queue + 1), '^([^@\n]*)@?([^\n]*)')
  end
  return agent, tenant ~= '' and tenant or KEY.tenant_default
end

-- A facet is one line, and part of an index's name; a stranger's text may be anything.
local function complete(fields)
  if fields.queue then
    fields.agent, fields.tenant = addressee(fields.queue)
  end
  for _, facet in ipairs(FACETS) do
    fields[facet] = string.gsub(fields[facet] or '', '[\n|]', ' ')
  end
  return fields
end

local function write_letter(letter, fields)
  local flat = {}
  for name, value in pairs(fields) do
    table.insert(flat, name)
    table.insert(flat, value)
  end
  redis.call('HSET', KEY.letter .. letter, unpack(flat))
end

local function json_text(text)
  return '"' .. string.gsub(text, '[%c"\\\127]', function(char)
    return string.format('\\u%04x', string.byte(char))
  end) .. '"'
end

-- Tell whoever consumes the queue, by an ordinary Celery message. Its body is plain text, which
-- Celery takes as it is where no encoding is named.
local MESSAGE = '{"body":%s,"content-type":"application/json","content-encoding":"utf-8",' ..
  '"headers":{"lang":"py","task":"buckstop.dead_letter","id":%s,"root_id":%s,"retries":0,' ..
  '"ignore_result":true,"argsrepr":"()","kwargsrepr":%s},"properties":{"correlation_id":%s,' ..
  '"delivery_mode":2,"delivery_tag":%s,"priority":0,"delivery_info":{"exchange":"",' ..
  '"routing_key":%s}}}'
local BODY = '[[],%s,{"callbacks":null,"errbacks":null,"chain":null,"chord":null}]'
local SAID = '{"letter":%s,"kind":%s,"reason":%s,"why":%s}'
local function announce(letter, fields)
  local id, queue = json_text(letter), json_text(KEY.dead_letters)
  local said = string.format(SAID, id, json_text(fields.kind), json_text(fields.reason),
    json_text(shortened(fields.why)))
  local body = json_text(string.format(BODY, said))
  redis.call('LPUSH', KEY.dead_letters,
    string.format(MESSAGE, body, id, id, json_text(said), id, id, queue))
  redis.call('LTRIM', KEY.dead_letters, 0, LIMIT.DEAD_LETTERS_MAX - 1)
end

-- What is told of a letter when it is filed, and when its reason becomes known.
local FILED = {'letter', 'task', 'tenant', 'kind', 'reason', 'agent', 'why'}
local function tell_filed(event, letter, now, fields)
  fields.letter = letter
  tell(event, now, FILED, fields)
end

-- No task waits on a message, so no owner of one sees to its due time; DISCARD_DUE does.
local function set_due(letter, now, fields)
  if fields.queue then
    fields.due_ms = digits(now + LIMIT.MESSAGE_LETTER_MS)
    redis.call('ZADD', KEY.discards, fields.due_ms, letter)
  elseif fields.due_ms then
    redis.call('ZADD', KEY.letters_due, fields.due_ms, letter)
  end
end

-- What FETCH has filed is counted once its reason is known.
local function count_filed(fields)
  if fields.reason ~= 'unread' then
    redis.call('HINCRBY', KEY.stats, 'filed:' .. fields.kind .. ':' .. fields.reason, 1)
  end
end

local function file_letter(letter, now, fields)
  fields = complete(fields)
  set_due(letter, now, fields)
  fields.state, fields.filed_ms = 'open', now
  write_letter(letter, fields)
  index_letter(letter, now, fields)
  count_filed(fields)
  announce(letter, fields)
  tell_filed('letter.filed', letter, now, fields)
end

-- Say of a letter that is filed already what is known by now.
local function refile_letter(letter, now, fields)
  write_letter(letter, complete(fields))
  unindex_letter(letter)
  count_filed(fields)
  index_letter(letter, redis.call('HGET', KEY.letter .. letter, 'filed_ms'), fields)
  tell_filed('letter.refiled', letter, now, fields)
end

local DECIDED = {'letter', 'task', 'tenant', 'kind', 'reason', 'agent', 'verb', 'by'}
local function tell_decided(letter, now, verb, by)
  local said = redis.call('HMGET', KEY.letter .. letter, 'task', 'tenant', 'kind', 'reason', 'agent')
  tell('letter.decided', now, DECIDED, {letter = letter, task = said[1], tenant = said[2],
    kind = said[3], reason = said[4], agent = said[5], verb = verb, by = by})
end

local function close_letter(letter, now, verb, by, why, kept_ms)
  redis.call('HSET', KEY.letter .. letter, 'state', 'decided', 'verb', verb, 'by', by,
    'decided_why', why, 'decided_ms', now)
  redis.call('PEXPIRE', KEY.letter .. letter, digits(kept_ms))
  redis.call('ZREM', KEY.discards, letter)
  unindex_letter(letter)
  tell_decided(letter, now, verb, by)
end
