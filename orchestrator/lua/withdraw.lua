-- WITHDRAW: take messages that can never run off the heads of their queues.
--
-- KEYS   none
-- ARGV   none
-- Reply  1 where there may be more, else 0
--
-- COMMIT takes off what it can at once; this is for what lay behind a message that has gone since, and
-- for what was too much at once. It looks at some of the queues that have any, others each time.
-- Writes: it only removes, which a full server allows, and counts. What is gone is not taken twice.
-- needs: _claim_header, _stale
for _, queue in ipairs(redis.call('SRANDMEMBER', KEY.stale, LIMIT.WITHDRAW_QUEUES_MAX)) do
  withdraw(queue)
end
count_withdrawn()
return is_enough() and 1 or 0
