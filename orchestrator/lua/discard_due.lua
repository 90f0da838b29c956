-- DISCARD_DUE: let go of messages set aside that nobody has decided by their due time.
--
-- KEYS   none
-- ARGV   by, why, ms to keep each letter for
-- Reply  how many were let go: LIMIT.DISCARD_MAX where there may be more
--
-- Writes: the letters and their indexes; counters; the news; lines in the journals of tasks. What is
-- decided is not due any more, so a retry lets go of no letter twice: it goes on with what is left.
-- needs: _time, _amounts, _facets, _news, _letter, _journal, _message
local by, why, kept_ms, now = ARGV[1], ARGV[2], amount(ARGV[3]), now_ms()
if not kept_ms then
  return refused('kept_ms', 'not a whole number')
end
local due = redis.call('ZRANGEBYSCORE', KEY.discards, '-inf', now, 'LIMIT', 0, LIMIT.DISCARD_MAX)
for _, letter in ipairs(due) do
  close_message(letter, now, 'discard', by, why, kept_ms)
end
if #due > 0 then
  redis.call('HINCRBY', KEY.stats, 'messages_defaulted', #due)
end
return #due
