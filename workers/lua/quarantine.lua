-- QUARANTINE: keep a message that must not run as a letter, and give back the claim it took.
--
-- KEYS   claim, or none where the message has none
-- ARGV   letter id, kind, reason, why, queue, size, sha256, first bytes, worker, task id, subtask,
--        token
-- Reply  the letter's id, or empty where the desk is full and the message is only counted
--
-- Checks: a letter that is there already is a retry, unless FETCH filed it and nobody has said yet
-- what is wrong with the message.
-- Writes: the letter, the news of it, counters, the claim.
-- needs: _time, _amounts, _facets, _news, _letter, _set_aside, _give_back
local letter, size = ARGV[1], amount(ARGV[6])
if not size then
  return refused('size', 'not a whole number')
end
local fields = {kind = ARGV[2], reason = ARGV[3], why = ARGV[4], queue = ARGV[5],
  size = digits(size), sha256 = ARGV[7], bytes = ARGV[8], worker = ARGV[9], task = ARGV[10],
  subtask = ARGV[11]}
local known = redis.call('HMGET', KEY.letter .. letter, 'reason', 'state')
if known[1] == 'unread' and known[2] == 'open' then
  refile_letter(letter, now_ms(), fields)
elseif not known[1] then
  letter = set_aside(letter, now_ms(), size, fields)
end
if KEYS[1] then
  give_back(KEYS[1], ARGV[12])
end
return letter
