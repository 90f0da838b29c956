-- LOAD: read a task and the mail it has not absorbed, as of one moment.
--
-- KEYS   task, mail
-- ARGV   the version the caller knows and the op of its commit, between them a blank; or empty
-- Reply  false where there is no such task, else {version, op of the last commit, accepted ms,
--        retention ms, now ms, 1 unless it waits for a place at work, 1 if an orchestrator has
--        claimed it and nobody has committed since, mail, names and values of the hash or false
--        where what is known is current}
--
-- Writes nothing.
-- needs: _time
local head = redis.call('HMGET', KEYS[1], 'version', 'accepted_ms', 'retention_ms', 'place',
  'op', 'held_until')
if not head[1] then
  return false
end

local mail, bytes, step = {}, 0, 100
while #mail < LIMIT.MAIL_READ_MAX and bytes < LIMIT.MAIL_READ_BYTES_MAX do
  local more = redis.call('LRANGE', KEYS[2], #mail, #mail + step - 1)
  for _, letter in ipairs(more) do
    if bytes >= LIMIT.MAIL_READ_BYTES_MAX then
      break
    end
    mail[#mail + 1] = letter
    bytes = bytes + #letter
  end
  if #more < step then
    break
  end
end
local op = head[5] or ''
local hash = head[1] .. ' ' .. op ~= ARGV[1] and redis.call('HGETALL', KEYS[1])
return {head[1], op, head[2], head[3], now_ms(), head[4] == 'waiting' and 0 or 1,
  head[6] and 1 or 0, mail, hash}
