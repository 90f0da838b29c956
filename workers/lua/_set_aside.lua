-- needs: _amounts, _news, _letter
-- Keep a message that must not run: as a letter, or where the desk is full, as a number only.
local function set_aside(letter, now, size, fields)
  redis.call('HINCRBY', KEY.stats, 'quarantined', 1)
  redis.call('HINCRBY', KEY.stats, 'quarantined_bytes', digits(size))
  if redis.call('ZCARD', KEY.letters) < LIMIT.LETTERS_MAX then
    file_letter(letter, now, fields)
    return letter
  end
  redis.call('HINCRBY', KEY.stats, 'letters_not_kept', 1)
  return ''
end
