-- What becomes of a message that was set aside: its letter is closed, it is counted, and where the
-- task that it belongs to is still on record, its journal tells of it, for good.
local VERBS = {replay = 'messages_replayed', discard = 'messages_discarded'}

-- A line as the core writes it (Note in core/commands.py); the books are as the last line has them.
local NOTE = '{"at_ms":%s,"why":%s,"text":%s,"spent":%s,"reserved":%s,"step":null,' ..
  '"subtask":null,"hop":null,"agent":null,"status":null,"confidence":null,"charged":null,' ..
  '"allowance":null,"fault":null,"plan":null,"granted":null,"steps":null}'
local NOTHING = '{"tokens":0,"usd_micros":0,"calls":0}'

local function note_in_journal(task, now, why, text)
  local journal = KEY.journal .. task
  local last = redis.call('LINDEX', journal, -1) or ''
  local line = string.format(NOTE, digits(now), json_text(why), json_text(text),
    string.match(last, '"spent":(%b{})') or NOTHING,
    string.match(last, '"reserved":(%b{})') or NOTHING)
  redis.call('RPUSH', journal, line)
  lines_added(KEY.task .. task, journal, 1)
  local left_ms = redis.call('PTTL', KEY.task .. task)
  if left_ms > 0 then
    redis.call('PEXPIRE', journal, left_ms)
  end
end

local function close_message(letter, now, verb, by, why, kept_ms)
  close_letter(letter, now, verb, by, why, kept_ms)
  redis.call('HINCRBY', KEY.stats, VERBS[verb], 1)
  local task = redis.call('HGET', KEY.letter .. letter, 'task')
  if task and task ~= '' and redis.call('EXISTS', KEY.task .. task) == 1 then
    local text = verb .. ' by ' .. by .. ' of the message in letter ' .. letter
    note_in_journal(task, now, 'message_' .. verb, why == '' and text or text .. ': ' .. why)
  end
end
