-- The news: one line for each thing that has happened to a task or a letter, told by the script that
-- made it happen, so that nothing happens untold and nothing is told that has not happened. The
-- oldest lines go; whoever reads them keeps the place himself.

-- Cut a text between two characters, not inside one.
local function shortened(text)
  if #text <= LIMIT.DEAD_LETTER_WHY_BYTES then
    return text
  end
  local cut = string.gsub(string.sub(text, 1, LIMIT.DEAD_LETTER_WHY_BYTES),
    '[\192-\255][\128-\191]*$', '')
  return cut
end

-- `names` says which of the fields are told; one that is not there is told as empty, so that all
-- lines of an event have the same fields, which a stream then writes only once.
local function tell(event, now, names, fields)
  local line = {'event', event, 'at_ms', now}
  for _, name in ipairs(names) do
    table.insert(line, name)
    table.insert(line, shortened(fields[name] or ''))
  end
  redis.call('XADD', KEY.news, 'MAXLEN', '~', LIMIT.NEWS_MAX, '*', unpack(line))
end
