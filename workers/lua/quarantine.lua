-- QUARANTINE: keep a message that must not run as a letter, and give back the claim it took.
--
-- KEYS   claim, or none where the message has none
-- ARGV   letter id, kind, reason, why, queue, size, sha256, first bytes, worker, task id, subtask,
--        token
-- Reply  the letter's id, or empty where the desk is full and the message is only counted
--
-- Checks: a letter that is there already is a retry.
-- Writes: the letter, counters, the claim.
-- needs: _time, _amounts, _letter, _give_back
local letter, size = ARGV[1], amount(ARGV[6])
if not size then
  return refused('size', 'not a whole number')
end
if redis.call('EXISTS', KEY.letter .. letter) == 1 then
  return letter
end

redis.call('HINCRBY', KEY.stats, 'quarantined', 1)
redis.call('HINCRBY', KEY.stats, 'quarantined_bytes', digits(size))
if redis.call('ZCARD', KEY.letters) < LIMIT.LETTERS_MAX then
  file_letter(letter, now_ms(), {'kind', ARGV[2], 'reason', ARGV[3], 'why', ARGV[4],
    'queue', ARGV[5], 'size', digits(size), 'sha256', ARGV[7], 'bytes', ARGV[8],
    'worker', ARGV[9], 'task', ARGV[10], 'subtask', ARGV[11]})
else
  redis.call('HINCRBY', KEY.stats, 'letters_not_kept', 1)
  letter = ''
end
if KEYS[1] then
  give_back(KEYS[1], ARGV[12])
end
return letter
