-- PURGE: forget tasks that are over, before their time.
--
-- KEYS   none
-- ARGV   task, ...
-- Reply  those that were there and are gone now
--
-- Checks: a task that is not over stays.
-- Writes: it only removes, which a full server allows: record, journal, mail, idempotency record and
-- places in indexes. Purging twice is purging once.
-- needs: _time, _amounts, _stages
local gone = {}

local function forget_key(idem, task)
  if idem and idem ~= '' and redis.call('GET', idem) == task then
    redis.call('DEL', idem, idem .. ':cell')
  end
end

for _, task in ipairs(ARGV) do
  local record = KEY.task .. task
  local outcome, tenant, idem = unpack(redis.call('HMGET', record, 'outcome', 'tenant', 'idem'))
  if outcome then
    forget_key(idem, task)
    forget_task(outcome .. ' ' .. tenant .. ' ' .. task)
    redis.call('DEL', record, KEY.journal .. task, KEY.mail .. task)
    table.insert(gone, task)
  end
end
return gone
