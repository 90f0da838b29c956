-- When the oldest message of a lane was issued, as its signed headers say; 0 where it names no time,
-- and false where none waits. A lane is first in, first out. The headers are a JSON text inside the
-- message's JSON, behind Celery's own, which hold the goal: they are found by their name in quotes
-- that are not escaped, as no text inside the message can have it.
local function oldest_issued_ms(lane)
  local message = redis.call('LINDEX', lane, -1)
  if not message then
    return false
  end
  local headers = string.find(message, '"buckstop":', 1, true)
  return tonumber(headers and string.match(message, 'issued_ms\\*":%s*(%d+)', headers) or 0)
end
