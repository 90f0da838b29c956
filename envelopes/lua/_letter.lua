-- Put a dead letter on the desk. `fields` is a flat list of names and values.
local function file_letter(letter, now, fields)
  redis.call('HSET', KEY.letter .. letter, 'state', 'open', 'filed_ms', now, unpack(fields))
  redis.call('ZADD', KEY.letters, now, letter)
end
