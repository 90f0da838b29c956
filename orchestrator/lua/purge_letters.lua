-- PURGE_LETTERS: forget letters of tasks that are gone, whatever state they are in.
--
-- KEYS   none
-- ARGV   letter, ...
-- Reply  how many were there
--
-- Checks: a letter whose task is still on record stays.
-- Writes: it only removes, which a full server allows: the letter, its places in indexes and among
-- what is due. Purging twice is purging once.
-- needs: _time, _amounts, _facets, _news, _letter
local gone = 0
for _, letter in ipairs(ARGV) do
  local task = redis.call('HGET', KEY.letter .. letter, 'task')
  if task and redis.call('EXISTS', KEY.task .. task) == 0 then
    unindex_letter(letter)
    redis.call('ZREM', KEY.discards, letter)
    redis.call('ZREM', KEY.letters_due, letter)
    redis.call('DEL', KEY.letter .. letter)
    gone = gone + 1
  end
end
return gone
