-- REFUSE_SUBMISSION: make a letter of a message at the door that is no request.
--
-- KEYS   the message's list; and where its sender waits for the answer, if anywhere
-- ARGV   the message, letter id, kind, reason, why, sha256, the answer
-- Reply  the letter's id; empty where the message is gone, because another orchestrator has done this,
--        or where the desk is full, and the message stays
--
-- Checks: a letter that is there already is a retry.
-- Writes: the letter with the message's first bytes, the news of it, the counter, the answer; last the
-- message goes.
-- needs: _time, _amounts, _facets, _news, _letter, _door
local list, raw, letter = KEYS[1], ARGV[1], ARGV[2]
if redis.call('EXISTS', KEY.letter .. letter) == 1 then
  return letter
elseif not lies_there(list, raw) or redis.call('ZCARD', KEY.letters) >= LIMIT.LETTERS_MAX then
  return ''
end

file_letter(letter, now_ms(), {kind = ARGV[3], reason = ARGV[4], why = ARGV[5], sha256 = ARGV[6],
  queue = KEY.submissions, size = #raw, bytes = string.sub(raw, 1, LIMIT.LETTER_BYTES_MAX)})
redis.call('HINCRBY', KEY.stats, 'door_refused', 1)
answer(KEYS[2], ARGV[7])
take_away(list, raw)
return letter
