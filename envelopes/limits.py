"""Every limit of the system, each with its reason.

Nothing else in the repository may spell one of these numbers. Units come last in a name:
`_MS` milliseconds, `_BYTES` bytes; what has no unit is a count.
"""

from typing import Final

# --- what a task may ask for -------------------------------------------------------------------

HOPS_DEFAULT: Final = 12
"""Transfers of control before the owner is asked; public runs that succeeded rarely need more."""
HOPS_CEILING: Final = 100
"""A task may raise its own cap, but a cap nobody can reach is no cap."""
HOPS_EVER_MAX: Final = 2 * HOPS_CEILING
"""What people at the desk can raise it to, however often they are asked."""
SUBTASKS_DEFAULT: Final = 256
"""Messages one task may ever publish; breadth is bounded by this, not by hops."""
SUBTASKS_CEILING: Final = 10_000
"""The widest task measured to be decided in bounded time."""
SUBTASKS_EVER_MAX: Final = SUBTASKS_CEILING + 1_000
"""The cap bounds the work; what the owner asks judges about the ending comes on top."""
REPLANS_DEFAULT: Final = 3
"""The first plan and three others: whoever has not managed by then needs a person."""
REPLANS_CEILING: Final = 20
"""Each costs a hop as well; above this the plan is not the problem."""
CONFIDENCE_DEFAULT: Final = 0.7
"""What an agent must be sure of for its result to leave without a person; a caller's to set."""
WEIGHT_MAX: Final = 1000
"""One step may get a thousand times another's share; shares finer than that round to nothing."""
CONDITIONS_MAX: Final = 8
"""Conditions joined at one level of a finish line; more of them nobody can read."""
TIMEOUT_FLOOR_S: Final = 0.001
"""One millisecond, the unit of all our clocks: less would be no time at all."""
TIMEOUT_CEILING_S: Final = 7 * 24 * 3600
"""A week. Longer work is many tasks, each with an end of its own."""
STEP_TIMEOUT_DEFAULT_S: Final = 300
"""Longer than any single model call; a hung agent is revoked after it."""
DESK_TIMEOUT_DEFAULT_S: Final = 24 * 3600
"""A letter's due time: a working day and its night."""
JUDGE_MS: Final = 60_000
"""What a judge or an owner agent may take for its word; longer than any single model call."""
LAST_WORDS_MS: Final = 120_000
"""After a cap: what the owner agent and then the judges get together, before a person is asked."""
RECEIVED_MAX: Final = 20
"""Envelopes a letter tells of: how a task came to the desk is seen in its last ones."""
RECEIVED_CHARS_MAX: Final = 200
"""What of an envelope's reason is told there: a sentence or two; the journal has all of it."""
VERDICTS_MAX: Final = 64
"""Verdicts kept with a task: the judges of its last results."""
RETENTION_S: Final = 7 * 24 * 3600
"""How long a finished task can still be shown: a week, as long as the longest task may run."""
RETENTION_MIN_S: Final = 60
"""A deployment's least: whoever waits for a task must be able to read how it ended."""
RETENTION_MAX_S: Final = 3_650 * 24 * 3600
"""Ten years: longer is an archive's business."""
ENDING_SHARE_DEFAULT: Final = 0.1
"""The slice of the budget that is held back for the ending."""
ENDING_SHARE_MAX: Final = 0.9
"""Something must be left for the work itself."""

# --- money and tokens --------------------------------------------------------------------------

AMOUNT_CEILING: Final = 10**12
"""A million dollars in micro-dollars. Far below 2**53, where Lua's numbers stop being integers."""
MICROS_PER_USD: Final = 1_000_000
"""Money is counted in micro-dollars: whole numbers add up, and one token costs more than one."""
TIME_MS_CEILING: Final = 2**53 - 1
"""The last moment every JSON reader can tell apart from the next: some 285,000 years from 1970."""
SPEND_CEILING: Final = 2**53 - 1
"""What a row of a day's books can hold: where Lua's numbers stop being integers. Nine billion
dollars in a day are somebody's mistake, and must not stop a commit."""
SPEND_ROWS_MAX: Final = 2_000
"""Rows in a day's books: tenants times agents times models. What comes later is added up in one."""
SPEND_KEPT_MS: Final = 400 * 24 * 3_600 * 1000
"""How long a day's books are kept: a year, and a month to compare it with the one before."""
SPEND_DAYS_MAX: Final = 400
"""Days of books read at once: all there are."""
CLAIM_MODELS_MAX: Final = 8
"""Models told apart in one subtask; a fallback chain has three or four."""
MODEL_BYTES_MAX: Final = 120
"""A model's name in the books; of 2,330 listed, with their providers', the longest has 72."""

# --- sizes -------------------------------------------------------------------------------------

MESSAGE_BYTES_MAX: Final = 256 * 1024
"""What a worker will fetch. Larger work travels by reference."""
REQUEST_BYTES_MAX: Final = 4 * 1024 * 1024
"""A plan of 10,000 short steps fits."""
PAYLOAD_BYTES_MAX: Final = 128 * 1024
"""One step's goal, input and inputs as JSON; leaves room for headers and base64 in a message."""
PLAN_BYTES_MAX: Final = 16 * 1024 * 1024
"""All messages of one plan: a thousand steps with a page each are a quarter. What steps share is
written and sent for each of them, and the first commit holds up the server while it does."""
PUBLISH_BYTES_MAX: Final = 4 * 1024 * 1024
"""Payloads that one decision sends; the rest goes with the next one, which comes at once."""
ENVELOPE_BYTES_MAX: Final = 128 * 1024
"""What a worker may hand back."""
GOAL_CHARS_MAX: Final = 32 * 1024
"""A long prompt; four bytes to a character, it still fits a payload."""
REASON_CHARS_MAX: Final = 4 * 1024
"""A page: a reason is read by people, and stands in every journal line and letter."""
SCHEMA_BYTES_MAX: Final = 128 * 1024
"""A result's JSON Schema: as large as a result may be; its judges are sent both."""
SCHEMA_STEPS_MAX: Final = 400_000
"""What one result may take to be held against one schema: half a second, for which an
orchestrator does nothing else; 128 KiB of small numbers with two rules each take 260,000."""
SCHEMA_DEPTH_MAX: Final = 150
"""Schemas inside one another while one value is judged: JSON_DEPTH_MAX, with four references at
each level. Far below where Python's own stack ends."""
SCHEMA_PATTERNS_MAX: Final = 128
"""Patterns in one schema; more of them are a parser."""
PATTERN_CHARS_MAX: Final = 2_000
"""One pattern; the longest that are handed round, of mail addresses, have half as many."""
PATTERN_MEMORY_BYTES: Final = 512 * 1024
"""What one pattern may take in memory, its machine and what was learnt in searching; as many are
kept as RE2's Python module keeps, 128."""
RESULT_CHARS_MAX: Final = 4 * 1024 * 1024
"""A result, composed of many: a tenth of a second to read, and written in one commit. What its
steps have produced is kept with them all the same; let one of them join it."""
FINISH_LINE_MAX: Final = 64
"""Conditions in a finish line altogether: each is looked at several times in a decision."""
FINISH_LINE_SCHEMAS_MAX: Final = 2
"""Of these, schemas: with the result's own, all that a decision holds against schemas stays below
two seconds, within the wake lease. One schema can join any number with "anyOf"."""
PREDICATES_MAX: Final = 32
"""Rules for one result; more of them are a JSON Schema."""
VALIDATORS_MAX: Final = 8
"""Judges of one result: each costs a call out of the ending reserve."""
CHOICES_MAX: Final = 16
"""Answers a person can choose from; a longer list nobody reads."""
NAME_CHARS_MAX: Final = 64
"""Names become parts of keys and queues, and columns of tables."""
KEY_CHARS_MAX: Final = 200
"""A key that a caller makes up, and a queue's name: a prefix, a dot and a name."""
LABELS_MAX: Final = 16
"""Labels are for finding tasks again, not for carrying work."""
LABEL_CHARS_MAX: Final = 256
"""A label's text: a URL fits."""
FALLBACKS_MAX: Final = 8
"""Other agents for a step, other plans for a task; far more than there are re-plans by default."""
FIELD_CHARS_MAX: Final = 200
"""How much of a field's name a refusal repeats: strangers choose their own."""
JSON_DEPTH_MAX: Final = 32
"""People and models do not nest deeper; parsers die of it."""
JSON_DIGITS_MAX: Final = 308
"""Digits of a whole number: more do not fit a double, and reading them costs the square."""
JSON_VALUES_MAX: Final = 200_000
"""Values in one text: a plan of 10,000 steps has half as many. Read in a tenth of a second, in
which the process can do nothing else; 4 MiB of empty lists would take ten times that."""
TRAIL_MAX: Final = 32
"""Fingerprints a message carries; older ones are only in the task."""
JOURNAL_MAX: Final = 20_000
"""Lines kept of one task's history; two per subtask at the subtask ceiling."""
LETTERS_MAX: Final = 200_000
"""Dead letters kept. At it intake refuses new work, and what cannot run is only counted."""
LETTERS_WARN: Final = LETTERS_MAX // 2
"""Half of them: somebody has time to decide the other half."""
DESK_LOOK_MS: Final = 60_000
"""How often an orchestrator looks whether there are too many; a desk does not fill in a minute."""
MESSAGE_LETTER_MS: Final = 7 * 24 * 3600 * 1000
"""When a message set aside that nobody has decided is let go: a week, as long as the longest task
may run, so whatever it was part of is over."""
DISCARD_MAX: Final = 500
"""Messages let go at one look, so that it does not hold up the server; the next look is at once."""
LETTER_BYTES_MAX: Final = 64 * 1024
"""Original bytes kept of one undeliverable message; the rest is counted, not stored."""

DEAD_LETTERS_MAX: Final = 10_000
"""Messages kept on the queue that tells of letters, where nobody drains it. It is a copy: the desk
has all of them."""
DEAD_LETTER_WHY_BYTES: Final = 500
"""What of a letter's text goes with such a message, and with the news: a sentence or two."""
NEWS_MAX: Final = 100_000
"""Lines of news kept for whoever reads them later: ten tasks a second, three lines each, for
nearly an hour in which nobody has read; some 17 MB."""

MEMORY_SHARE_MAX: Final = 0.9
"""Of the server's maxmemory; above it new work is refused, so that accepted work can end."""

# --- signs of life -----------------------------------------------------------------------------

BEAT_MS: Final = 3_000
"""How often a worker process says that it lives: three beats fit a lease."""
LEASE_MS: Final = 10_000
"""Silence after which a claim is taken away."""
PATIENCE_MS: Final = 30_000
"""How long a message may lie on its queue before the owner looks whether it is still there."""
SERVING_TTL_MS: Final = 15_000
"""How long the sign that an orchestrator looks for work lasts; an idle one looks each 4 seconds."""
WAKE_LEASE_MS: Final = 5_000
"""How long an orchestrator may think about a task before another one may."""
UNDECIDED_MAX: Final = 5
"""Decisions of one task that may fail in a row, a wake lease apart, before a person is asked: an
orchestrator that is being replaced, or one bad answer of the server, is over by then."""
COMMIT_LARGE_BYTES: Final = 1024 * 1024
"""A commit from this size on may be what a server has no memory for. One that has less left is
full, for all tasks."""
LEFT_MS: Final = 30_000
"""How long an orchestrator does not claim what only a newer one can read, so that one gets it."""
LEFT_MAX: Final = 100
"""Such tasks that an orchestrator remembers: each CLAIM names them."""
LOST_MAX: Final = 3
"""Workers one step may take down with it before it is called poison."""
GRACE_DEFAULT_S: Final = 25
"""What a process told to stop may take to end what is under way; orchestrators and containers are
usually killed after 30."""

LOG_BYTES_MAX: Final = 16 * 1024 * 1024
"""A child's log that is larger is put aside at its next start, one generation deep."""
LAST_WORDS_BYTES: Final = 8 * 1024
"""How far back in the log of a child that died its last line is looked for: a trace, and more."""
LAST_WORDS_CHARS: Final = 600
"""What of it is said on a terminal; the log has the rest."""
DISK_FREE_MIN_BYTES: Final = 200_000
"""With less on its disk a server that keeps what it acknowledges ends, and cannot say so."""

# --- loops -------------------------------------------------------------------------------------

REPEAT_MAX: Final = 3
"""The same agent with the same payload, counted once per hop: 0.12 % false stops, 6,446 runs."""
HOLDERS_WINDOW: Final = 6
"""How far back the owner looks for agents that only hand a step to and fro."""
HOLDERS_MIN: Final = 3
"""Two agents that have had it three times each are not getting anywhere."""
STALLS_MAX: Final = 3
"""Answers without progress, more than with it, before the plan has to change."""

# --- breakers, bulkheads, tenants --------------------------------------------------------------

BREAKER_FAULTS: Final = 5
"""Faults in a row that open an agent's breaker: one bad model call is weather, five are climate."""
BREAKER_WINDOW_MS: Final = 60_000
"""How far back an agent's rate of faults is counted at most: minute quotas come and go in it."""
BREAKER_CALLS_MIN: Final = 20
"""Subtasks in the window before their rate says anything; fewer are chance."""
BREAKER_RATE_PERCENT: Final = 50
"""Faults in a hundred that open a breaker: an agent that fails every other time costs double."""
BREAKER_OPEN_MS: Final = 30_000
"""How long an open breaker sends nothing before one subtask probes whether the agent is back."""
ROOM_WAKE_MAX: Final = 100
"""Tasks called in at once where an agent takes any number: a few batches of the loops there are."""
CALL_KEPT_MS: Final = 60_000
"""How long a place is kept for a task that was called in and is not decided: many wake leases."""
TENANT_TASKS_MAX: Final = 500
"""Tasks of one tenant at work at once: a few times what all workers of a deployment hold."""
ADMIT_MAX: Final = 1_000
"""Waiting tasks one script admits, so that a raised cap does not hold up the server."""
CALIBRATION_MAX: Final = 10_000
"""Judgements of people kept; thresholds are told apart to one in a hundred with far fewer."""

# --- the store and its scripts -----------------------------------------------------------------

SOCKET_TIMEOUT_S: Final = 5
"""Silence after which a connection counts as dead; with the default a worker sat deaf for 150 s."""
SENTINEL_TIMEOUT_S: Final = 1
"""Silence after which the next Sentinel is asked where the server is: a dead one costs no more."""
COPIES_WAIT_MS: Final = 2_000
"""How long replicas are waited for, where a submit asks for them: they are milliseconds behind."""
RETRIES_MAX: Final = 3
"""Times one call is sent again over a new connection before the caller's own back-off begins."""
WAIT_MS_MAX: Final = 4_000
"""How long one wait at a bell may last: below the socket timeout, or it would look like death."""
BELLS_MAX: Final = 64
"""Strokes kept on one bell. A stroke only wakes; more sleepers than this need no more strokes."""
LUA_ARGS_MAX: Final = 1_000
"""Arguments a script gives to one command; Lua's stack ends near 8,000. Even: pairs stay whole."""
AMOUNT_DIGITS_MAX: Final = 15
"""Digits of any figure a script takes: below 2**53, where Lua's numbers stop being integers."""
OP_CHARS_MAX: Final = 64
"""The name of one operation, by which a retry is known."""
REPLY_KEPT_MS: Final = 60_000
"""How long a reply that hands something out is kept for its retry; far beyond any lease."""
POSTED_REMEMBERED_CHARS: Final = 600
"""Operation ids of recent posts kept with a task: about 16, each for a retry a second later."""
MAIL_READ_MAX: Final = 1_000
"""Letters one decision takes in; the rest wakes the task again at once."""
MAIL_READ_BYTES_MAX: Final = 8 * 1024 * 1024
"""Mail one decision takes in; a thousand envelopes at their largest would be 128 MB."""
FETCH_BYTES_MAX: Final = 4 * 1024 * 1024
"""What one fetch carries at most, so that the server is never held up by one worker."""
FETCH_MAX: Final = 1_000
"""Messages one fetch takes at most."""
WORKER_TTL_MS: Final = 15_000
"""How long a worker's record outlives its last beat: five beats."""
PRUNE_MAX: Final = 1_000
"""Expired tasks forgotten in the indexes at one look, so that it does not hold up the server."""
WITHDRAW_MAX: Final = 500
"""Messages that can never run, taken off their queues by one script: some milliseconds."""
WITHDRAW_BYTES_MAX: Final = 4 * 1024 * 1024
"""What they are together: each is read once more, to be sure that it is the very one."""
WITHDRAW_QUEUES_MAX: Final = 100
"""Queues whose head is looked at for such messages at once; the others come next time."""
PURGE_MAX: Final = 500
"""Tasks, letters or lines that a purge takes at once, so that it does not hold up the server."""
WORKERS_KEPT_MS: Final = 3_600_000
"""How long a silent worker stays in the list of workers, for whoever asks what died."""
TEMPLATES_MAX: Final = 4_096
"""Queues whose encoded message an orchestrator remembers, some 2 KB each: callers make up the names
of agents and tenants, and one that is met again only takes Celery's time once more."""

# --- workers -----------------------------------------------------------------------------------

OUTAGE_S: Final = 120
"""How long a worker waits for the server with a charge or a result in hand; then it is lost."""
AHEAD_MAX: Final = 128
"""Messages a worker takes beyond its free slots, where the ones it has end quickly."""
AHEAD_MS: Final = 250
"""It takes no more ahead than it ends in this time, so no message waits here for long."""
QUICK_MS: Final = 50
"""An agent that ends sooner than this on average is quick enough to take its work ahead."""
ENDING_MS: Final = 1_000
"""What an async agent gets to clean up once it is cancelled; then nobody waits for it any more."""
KILL_AFTER_MS: Final = 5_000
"""What a prefork child gets beyond its step's time before the pool kills it."""

# --- Flower --------------------------------------------------------------------------------------

SHOWN_CHARS: Final = 120
"""Of a goal or a reason that Flower shows in a column of its table."""
LANES_SHOWN_MAX: Final = 100
"""Lanes of tenants that a worker names per agent: more queues than anybody reads in one page."""

# --- calls to models ---------------------------------------------------------------------------

LLM_TOKENS_DEFAULT: Final = 4096
"""Longest answer where an agent names none: a few pages, or a reasoning model's short thought."""
LLM_PREAMBLE_TOKENS: Final = 128
"""What a chat template may add of its own; the longest found (gpt-oss) adds some 70 tokens."""
LLM_TOOL_PREAMBLE_TOKENS: Final = 640
"""The same where tools are offered: how to call them is explained in up to 530 tokens."""
LLM_TIMEOUT_DEFAULT_S: Final = 120
"""One attempt. Two and a half fit a step, so that one hung connection does not lose the step."""
LLM_CONNECT_S: Final = 10
"""A server that cannot be reached by then is away; nothing was sent, so nothing is lost."""
LLM_ATTEMPTS_MAX: Final = 4
"""Requests for one answer; a server that is still away then is the circuit breaker's business."""
LLM_BACKOFF_S: Final = 0.5
"""The first pause is anything up to this, each further one up to twice as much."""
LLM_BACKOFF_MAX_S: Final = 20
"""The longest pause of our own choosing: minute quotas come free bit by bit."""
LLM_RETRY_AFTER_MAX_S: Final = 60
"""The longest pause a server may ask for: quotas are by the minute; longer is not worth a slot."""
LLM_CONNECTIONS_MAX: Final = 1_000
"""Answers waited for at once by one process; each holds a socket, and 1,024 is a usual limit."""
LLM_ANSWER_BYTES_MAX: Final = 48 * 1024 * 1024
"""What is read of one answer: 128,000 tokens (the longest GPT-5 gives), in frames of up to 390."""
LLM_LINE_BYTES_MAX: Final = 1024 * 1024
"""One event of a stream: a token, or at most a whole tool call."""
LLM_ERROR_CHARS_MAX: Final = 400
"""How much of a server's own words an error repeats: a sentence or two, not its web page."""
LLM_ROUNDS_DEFAULT: Final = 8
"""Answers asked for in one loop over tools; the last one may call none."""

# --- the way in over HTTP ----------------------------------------------------------------------

BODY_S: Final = 20
"""What a request's body may take to arrive; a slow one holds nothing but its own connection."""
HEAD_S: Final = 20
"""What a request's head may take to arrive, as its body; then the connection is given up."""
ANSWER_STILL_S: Final = 20
"""How long nothing of an answer may be taken before its client is hung up on. The system takes some
40 KiB at a time, so whoever reads 2 KB a second, as the worst of phones does, gets all of it."""
CONNECTION_BUFFER_BYTES: Final = 64 * 1024
"""What the system buffers for a client; by itself it would take up to 4 MB for each."""
BODY_BYTES_MAX: Final = 512 * 1024
"""Any body but a submission: the largest envelope with each of its characters escaped fits mostly.
Reading JSON costs up to half a second for each megabyte, and some of these need no token."""
READY_S: Final = 3
"""Silence of Redis after which /readyz says no: whoever asks there has little patience itself."""
HTTP_THREADS: Final = 48
"""Requests one process works on at once; each waits for one round trip of Redis, rarely longer."""
DECIDING_MAX: Final = 32
"""Decisions that wait for an orchestrator at once, in threads of their own: reading goes on."""
DECIDING_WAIT_MAX: Final = 256
"""Decisions that wait for such a thread; with no orchestrator, each would wait for minutes."""
PAGE_DEFAULT: Final = 50
"""Items of a list where nobody says how many: a screen of them."""
PAGE_MAX: Final = 500
"""Items of a list at most: one script's short work, and one answer's size."""
LETTER_AGE_S_MAX: Final = 10**9
"""The least age one can ask for: thirty years, and far below what a script takes for a figure."""
TOKENS_MAX: Final = 1_000
"""Bearer tokens there may be; each is a person or a service, and a list of more nobody reads."""
TOKEN_SECRET_BITS: Final = 256
"""Random ones: what nobody can guess, and so needs no slow hash."""
TOKEN_DAYS_MAX: Final = 3_650
"""Ten years; a token that is to live longer has no end."""
TOKEN_PER_MINUTE: Final = 600
"""Calls a token may make in a minute: ten a second are a busy service, and no load."""
TOKEN_PER_MINUTE_MAX: Final = 600_000
"""What a token can be given: more than one server answers."""
TOKEN_BURST: Final = 100
"""Calls it may make at once, if it has as many in a minute: a console that opens ten pages, a
service that starts."""
FAILED_LOGINS_MAX: Final = 30
"""Wrong credentials from one address in the window before it is told to wait: a slip is three."""
FAILED_LOGINS_MS: Final = 60_000
"""The window in which they are counted."""
SESSION_MS: Final = 12 * 3_600_000
"""How long a login at the console lasts: a working day."""
WAIT_DEFAULT_S: Final = 24 * 3_600
"""How long an address that answers one question is good for, or until the letter's due time."""
WAIT_PER_MINUTE: Final = 60
"""Times in a minute that it may be asked: by people and their previews, not by a loop."""
LOGIN_CODE_S: Final = 600
"""How long a link that logs in once is good for: from a terminal into a browser."""
SERIES_MAX: Final = 200
"""Values of one label on /metrics, each a series that is kept for weeks; what is beyond is added up
as `other`. A deployment has fewer agents than that, and a chart can show fewer."""
LETTER_SOON_MS: Final = 3_600_000
"""A letter due within the hour is due soon: time enough to be called, to read and to decide."""
AWAY_RETRY_S: Final = 2
"""When to come again while Redis is away: a restart of it takes about as long."""

# --- the courier -------------------------------------------------------------------------------

SUBSCRIPTIONS_MAX: Final = 64
"""Receivers there may be. One courier has room for what all of them may have under way at once."""
DELIVERIES_AT_ONCE: Final = 4
"""Deliveries under way to one receiver: a busy one keeps up, and none is flooded."""
DELIVERIES_MAX: Final = 10_000
"""Deliveries that wait for one receiver; what comes on top while it is away is not kept."""
DELIVERIES_KEPT: Final = 100
"""Deliveries that are over and can still be shown, for each receiver: the last days, or the last
minutes of a busy one."""
DELIVERY_S: Final = 10
"""One attempt, from the look-up of the name to the last byte: a receiver answers, then works."""
NOTIFY_S: Final = 20
"""One notification; some services are asked twice for it, and mail takes its time."""
DELIVERY_LEASE_MS: Final = 45_000
"""How long a delivery is one courier's: beyond any attempt, so that nobody else begins it too."""
DELIVERY_DISABLE_MS: Final = 5 * 24 * 3_600_000
"""A receiver that has taken nothing for five days is gone; a long weekend is not that long."""
RETRY_AFTER_MAX_S: Final = 3600
"""The longest pause a receiver may ask for: an hour; who needs more is away, and retries say so."""
DELIVERY_WHY_CHARS: Final = 200
"""What is kept of why an attempt failed: a sentence."""
HOOK_SECRET_BITS: Final = 256
"""Nobody can try them all; Standard Webhooks says 192 to 512."""
HOOK_ROTATION_MS: Final = 24 * 3_600_000
"""How long a replaced secret still signs beside the new one: a day to change it everywhere."""
HOOK_URL_CHARS_MAX: Final = 2_000
"""Longer ones are cut by some proxies."""
ADDRESSES_MAX: Final = 4
"""Addresses of one host that are tried; one that none of these answers for is away."""
NEWS_BATCH: Final = 100
"""Lines of news that a courier reads at once."""
EXPANDED_MAX: Final = 512
"""Deliveries one script writes, so that it does not hold up the server: some 10 ms."""
NOTIFY_GATHER_S: Final = 5
"""How long the first letter of a cause waits for company: a burst is one message."""
QUIET_DEFAULT_S: Final = 900
"""After a message nothing more of its cause for a quarter of an hour, then one that counts."""
QUIET_MAX_S: Final = 24 * 3600
"""A day: who wants to know less often wants no notification."""
CAUSE_KEPT_MS: Final = 3_600_000
"""How much longer than its quiet time a cause is remembered, while a message of it may be late."""
CAUSE_LETTERS_MAX: Final = 5
"""Letters of one message that are remembered by id, to say when the first of them is due."""
NOTIFY_WHY_CHARS: Final = 300
"""What of an agent's words goes into a message that is read on a phone."""

# --- live events ---------------------------------------------------------------------------------

LIVE_STREAMS_MAX: Final = 1_200
"""Streams of one process: a thousand, and some that are about to be found dead."""
LIVE_STREAMS_TOKEN_MAX: Final = 200
"""Streams of one token in a process: a team's open pages. Five such tokens do not fill it."""
LIVE_KEPT: Final = 4_096
"""Things told that a process keeps for its streams, 2 MB; who is further behind comes again."""
LIVE_PAGE: Final = 200
"""News or journal lines read or told at once: some 5 ms of work, and nobody waits longer for it."""
LIVE_READERS: Final = 4
"""Readings of the store at once for all streams of a process: more would hold up the loop."""
LIVE_REST: Final = 4
"""A task is left alone so many times as long as it took to read: a wide one is read less often."""
LIVE_FOLLOW_BYTES: Final = 192 * 1024
"""Of each followed task's journal, what is held for those who come: most journals, whole."""
LIVE_HINT_S: Final = 0.25
"""A task is looked at, and said to have changed, no sooner than this again: nobody reads faster."""
LIVE_GATHER_S: Final = 0.05
"""News that follow on others wait so long, and go with what comes meanwhile: nobody sees it, and a
thousand clients are written to twenty times a second at most."""
WATCH_AWAY_S: Final = 30
"""How long somebody who watches waits for a server that went away: a restart takes seconds."""
LIVE_REREAD_S: Final = 15
"""How often a followed task is looked at unasked, in case an announcement was lost."""
LIVE_ALIVE_S: Final = 15
"""Silence after which a stream says that it lives; proxies cut what is silent for 30 or 60 s."""
LIVE_CHECK_S: Final = 30
"""How often it is asked whether a stream's caller may still see it. With the silence above, the
streams of a revoked token end within a minute."""
LIVE_WRITE_S: Final = 10
"""What a client may take to make room for what is written, before it is hung up on."""
LIVE_PIECE_BYTES: Final = 64 * 1024
"""What is handed to the server at once: what it buffers for a client that does not read."""
LIVE_RETRY_MS: Final = 3_000
"""When a browser comes again after it was cut off, at the latest: spread over half of that."""
LIVE_BACKOFF_MAX_S: Final = 2
"""The longest pause between two tries to reach the server: a restart of it takes about as long."""
LIVE_FOR_S_MAX: Final = 24 * 3600
"""The longest that a stream can be asked to last; who asks for no end gets none."""
ASYNC_CALLS_MAX: Final = 8
"""Calls of one asynchronous client under way at once, each in a thread for one round trip. Whoever
only waits holds none."""

# --- the doctor ----------------------------------------------------------------------------------

DOCTOR_SAMPLE: Final = 200
"""Tasks of each stage that are looked at: the cause of a fault is rarely in one task alone."""
DOCTOR_LATE_MS: Final = 60_000
"""What has been due for longer is done by nobody: alarms, letters and deliveries take seconds."""
DOCTOR_CLAIMS: Final = 1_000
"""Subtasks of an ended task whose claims are looked for."""
CLOCK_SKEW_MS: Final = 2_000
"""Clocks that differ by more look wrong in logs; a round trip and a lazy NTP stay below it."""

# --- the door: requests by Celery ----------------------------------------------------------------

DOOR_BATCH: Final = 16
"""Messages one orchestrator takes off the door at once; they are judged well inside the lease."""
DOOR_LOOK_MAX: Final = 256
"""Messages looked at for those that nobody is at: what sixteen busy orchestrators may hold."""
DOOR_RESULT_MS: Final = 3_600_000
"""How long a client may ask what became of its message; who asks for a result waits for it now."""
DOOR_EDGE_BYTES: Final = 12 * 1024
"""Of a message that is too large to be read, what is looked through for Celery's id, at its end and
at its beginning: headers and properties stand there, and their texts are cut short by Celery."""
DOOR_FAULTS_MAX: Final = 8
"""Wrong fields that a letter names; whoever has more has not read the page."""
DOOR_FAULT_CHARS: Final = 300
"""What a letter says of each: a sentence or two."""

# --- traces --------------------------------------------------------------------------------------

EXPORT_LAST_S: Final = 3.0
"""What an ending process gives the collector for the last spans: less than any grace time, and a
collector that answers at all answers in milliseconds."""
TRACE_WHYS_MAX: Final = 20
"""Distinct rules named in one decision's span: more than any one decision has been seen to use."""
TRACE_LINKS_MAX: Final = 100
"""Subtasks that one decision's span links to; a stage of a thousand would be a thousand links."""

# --- cells ---------------------------------------------------------------------------------------

CELLS_MAX: Final = 64
"""Cells of one deployment: every look-up of an unknown id asks all of them."""
CELL_NAME_CHARS_MAX: Final = 40
"""A cell's name stands in lists and in the places of a stream's news."""
CELL_THREADS: Final = 8
"""Questions to one cell at once, of one process: a cell that hangs holds no more threads."""
CELL_ASK_S: Final = 2.0
"""How long all cells together may take to answer; who has not by then is left out, and named."""
CELL_REST_S: Final = 2.0
"""A cell that did not answer is not asked again for so long: nobody waits for it twice."""
CELL_PLACES_MAX: Final = 65_536
"""Tasks and letters of which a process remembers the cell: 10 MB, and the busiest ones stay."""
CELL_NEWS_MS: Final = 250
"""How long one cell is listened to while others wait their turn: nobody notices it in a list."""

# --- MCP -----------------------------------------------------------------------------------------

MCP_WAIT_S: Final = 30.0
"""How long the tool `wait` waits unless it is told: many clients give a call up after a minute."""
MCP_WAIT_S_MAX: Final = 300.0
"""The longest wait of one call; whoever wants to wait longer calls again."""
MCP_PAGE: Final = 20
"""Items of a list unless more are asked for: they fill a model's window."""

# --- A2A -----------------------------------------------------------------------------------------

A2A_ID_CHARS_MAX: Final = 128
"""A message's id: a UUID and more. With the sender's in front it is the key of the submission."""
A2A_PAGE_MAX: Final = 100
"""Tasks of a list at most, as the protocol says."""
A2A_SCAN_MAX: Final = 1_000
"""Tasks looked at for one page of a context: there is no index by it. The next page goes on."""
A2A_WAIT_S: Final = 600
"""How long a blocking message waits for the end; then the task is returned as it stands."""
A2A_CANCEL_S: Final = 10
"""How long a cancellation waits to see the end, which takes an orchestrator some milliseconds."""
A2A_LETTERS_MAX: Final = 256
"""Earlier letters of a task in which an answer that is sent again is looked for."""
