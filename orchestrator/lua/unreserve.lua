-- UNRESERVE: forget what idempotency keys are reserved for here, of tasks that are to be purged in
-- another cell (cells/purging.py).
--
-- KEYS   none
-- ARGV   idempotency record, task, ...
-- Reply  how many stood for these tasks, and are gone now
--
-- Checks: a key that stands for another task by now stays.
-- Writes: it only removes. Twice is once.
local gone = 0
for at = 1, #ARGV, 2 do
  if redis.call('GET', ARGV[at]) == ARGV[at + 1] then
    gone = gone + redis.call('DEL', ARGV[at], ARGV[at] .. ':cell')
  end
end
return gone
