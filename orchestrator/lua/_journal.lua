-- A task's journal is bounded, and each line keeps its place for ever: `noted` in the task's record
-- says how many there have been. Say so after each RPUSH.
local function lines_added(task, journal, count)
  redis.call('HINCRBY', task, 'noted', count)
  redis.call('LTRIM', journal, -LIMIT.JOURNAL_MAX, -1)
end
