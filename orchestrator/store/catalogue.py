"""What every key holds.

All names come from envelopes/keys.py and stand under one prefix; all times are milliseconds of the
server's clock.

    key                 type    what it holds
    ------------------  ------  -----------------------------------------------------------------
    task:{id}           hash    the task, see below
    mail:{id}           list    facts the task has not absorbed, oldest first. A letter is one line
                                and a payload under it:
                                  report <n> <token> <tokens> <usd micros> <calls>   an Envelope
                                  cancel                                             a Cancellation
                                  decide                                             a Decision
    journal:{id}        list    JSON lines: what was decided and why; the last JOURNAL_MAX
    news                stream  what has happened to tasks and letters, see orchestrator/news.py;
                                the last NEWS_MAX
    submit              list    what other services ask for: Celery messages "buckstop.submit",
                                LPUSHed by any client; each stays until it is a task or a letter.
                                Those with a priority lie on lists of Celery's beside it
    submit:held         hash    SHA-1 of a message there -> until when which orchestrator is at it
    celery-task-meta-{} string  without our prefix: what a Celery client with a result backend here
                                is told of its message, by Celery's id; expires
    due                 zset    task id by alarm: when it must be looked at if nothing happens
    serving             string  an orchestrator has looked for work lately; expires
    speaks:{n}          string  somebody who lives speaks schema version n; expires
                                (envelopes/versions.py)
    bell                list    wakes an idle orchestrator; a stroke says only "look"
    claim:{id}/{n}      hash    one open subtask: who runs it, what it has spent, see below
    claim:stale:{queue} hash    messages on a queue whose claims were settled before anybody fetched
                                them: subtask -> SHA-1 of the message. Whoever takes one off forgets
                                it here, and who finds the queue empty all of them
    claim:stale         set     queues of which there is such a hash
    agent.{name}        list    the agent's Celery queue: LPUSH in, RPOP out. Tasks of the default
                                tenant, and whatever strangers push
    agent.{name}@{t}    list    the lane of another tenant beside it
    lanes:{queue}       zset    lane by whose turn it is, the one served longest ago in front; only
                                while there is another lane than the queue itself
    bell:{queue}        list    wakes a worker that waits for this queue, or any lane of it
    inflight            hash    agent -> messages published to it and not settled; no field for none
    caps                hash    agent:{name}, tenant:{name} -> the cap that an operator has set
    declared_caps       hash    agent -> the cap on what it has in flight, as its workers said
    breakers            hash    agent -> one line of figures, see lua/_breaker.lua; only of agents
                                that ever had a fault
    room:{agent}        zset    task that waits for the agent, by its turn
    turns:{agent}       hash    clock: the turn called in last; last:{tenant}: the tenant's last
                                turn; prober: the task whose alarm is set to the next probe. Gone
                                with the room's last task
    called:{agent}      zset    task that was called in from the room and has not committed since,
                                by when; at most CALL_KEPT_MS
    atwork              hash    tenant -> its tasks at work; no field for none
    waiting:{tenant}    zset    task that waits for a place at work, by arrival
    arrivals            string  the number of the last of them
    calibration         list    JSON lines: a result's claimed confidence, and what a person thought
                                of it; the last CALIBRATION_MAX
    letters             zset    open dead letter by the time it was filed
    letters:{facet}:{v} zset    the same, of those whose kind, reason, agent or tenant is v; and one
                                for each two facets, letters:{facet}:{v}|{facet}:{v}
    letters:due         zset    open letter of a task by its due time, when the default applies
    letter_values:{f}   set     each value that an open letter has for the facet
    letter_facets       hash    open letter -> its facets, one on each line
    letter:{id}         hash    one dead letter: kind (envelopes/letter.py), reason (a slug), why,
                                agent, tenant, task, filed_ms, state open | decided, and then
                                verb, by, decided_why, decided_ms. due_ms is when the default
                                applies. A task's has step, hop and story (JSON), and then
                                decided_as (the decision's fingerprint, empty where nobody decided)
                                and said (what came with it: an answer, another result); a message's
                                has subtask, queue, worker, bytes (the first LETTER_BYTES_MAX),
                                size, sha256, and then decided_op. What does not apply is absent
    discards            zset    open letter of a message by its due time, when it is let go
    dead-letters        list    one small Celery message for each letter filed, for whoever wants
                                to be told; the last DEAD_LETTERS_MAX
    agents              hash    agent -> JSON of what its workers last said of it
    workers             zset    worker by its last beat
    worker:{id}         string  JSON of what the worker last said of itself; expires
    tokens              hash    bearer token by id: the secret's hash, when it ends or nothing, its
                                calls a minute; and below, JSON of all there is
                                (orchestrator/tokens.py); gone when it is revoked
    rate:{token}        string  when the calls a token has made would be paid off, in ms; expires
    failed:{address}    string  wrong credentials from an address; expires with its window
    session:{hash}      string  the token that a console's login stands for; expires
    code:{hash}         string  the token that a login code stands for; used once, or expires
    spend:{day}         hash    tenant|agent|model -> what was spent on that day, counted from 1970,
                                see lua/_books.lua; expires
    wait:{hash}         hash    an address at which one question is answered: letter, task, by,
                                until_ms, and once it is answered the op of that; expires
    subscriptions       hash    who is told of the news: JSON by id, with its webhook secret or its
                                Apprise URL (orchestrator/courier/subscription.py)
    disabled            hash    subscription that nothing is sent to -> since when, and why
    failing             hash    subscription -> since when its receiver has taken nothing
    courier             hash    place: the last line of news that has become deliveries, by which
                                op; edition: raised by each change of a subscription; removed: the
                                op of the last removal
    deliveries          zset    subscription by when there is something to do for it
    outbox:{sub}        zset    delivery that waits for the receiver, by when it is due
    sending:{sub}       zset    delivery that a courier is at, by when its lease ends
    delivered:{sub}     list    deliveries that are over, the newest in front; the last
                                DELIVERIES_KEPT
    delivery:{id}       hash    one message to one receiver: subscription, event, about (letter or
                                task), named (the first letters it tells of), letters (how many),
                                more (others of its cause were told of), body, state waiting |
                                sending | done | given_up | moot, attempts, token of the claim,
                                status and why of the last attempt, created_ms, due_ms, ended_ms
    cause:{sub}/{hash}  hash    delivery: the last message of a cause; free_ms: until when no other
                                one is sent; expires
    idem:{tenant}:{h}   string  the task that an idempotency key (hashed) stands for
    idem:..:cell        string  the cell of a task that is not in this one, beside its key that is
                                reserved here (lua/reserve.lua); both expire
    tasks               zset    task id by the time it was accepted
    tasks:stage:{s}     zset    the same, of those that are open, on_desk, or ended as s says;
                                tasks:tenant:{t} of one tenant's; tasks:stage:{s}|tenant:{t} of both
    expiring            zset    "outcome tenant task" of each finished task by when its record is
                                gone; then the indexes forget it
    stats               hash    counters: submitted commits conflicts escalated concluded_<outcome>
                                pushed(_bytes) fetched(_bytes) handed_back(_bytes)
                                quarantined(_bytes) letters_not_kept messages_discarded (of which
                                messages_defaulted by nobody, at their due time)
                                messages_replayed(_bytes) replayed revoked_dropped
                                withdrawn(_bytes) claims
                                charges refused_charges fenced_charges late_charges reports
                                fenced_reports. pushed counts what COMMIT published, fetched every
                                message that was popped, whoever wrote it. And
                                bulkhead_conflicts breaker_conflicts (both are conflicts too)
                                breaker_opened breaker_closed breaker_probes breaker_resets
                                door_accepted door_known (a key stood for a task already)
                                door_refused
                                copies_awaited
                                deliveries(_done, _failed, _given_up, _moot, _not_kept)
                                subscriptions_disabled; claims_lost (its worker fell silent) and
                                claims_stopped (its owner took it away); ended:<outcome>:<first word
                                of why> and filed:<kind>:<reason>, each in words of a closed set
    last:{caller}       hash    op and reply of the caller's last CLAIM or FETCH that handed
                                something out, so that a retry gets the same again; expires
    events:{id}         channel one JSON line for each commit that says something

    task:{id}   version      raised by every commit but one that only moves the alarm
                op           the last commit, by which its retry is known
                held_until   an orchestrator is thinking about it; set by CLAIM, removed by COMMIT
                posted       ops of recent posts, by which a retry is known
                recall       something came free for it while it was held; its COMMIT wakes it again
                failed       how many decisions failed in a row, and the op of the last; removed by
                             COMMIT (orchestrator/failures.py)
                rested       how much mail there was when a task that waits for a person because no
                             decision can be made was let sleep, the answer and its op; removed by
                             COMMIT
                noted        how many lines its journal has had, so that each keeps its place
                place        work, waiting (for a place of its tenant) or desk; none once it is over
                rooms called agents in whose room it is, or was called in from: " agent agent "
                request tenant accepted_ms retention_ms idem        written by SUBMIT, once
                outcome      only when the task is over; then nothing is written any more, and the
                             record expires retention_ms later
                all other    the core's own: "head", and "s:<step>" for each step

    claim:{..}  state        issued | claimed | reported | revoked
                agent queue nonce published_ms deadline_ms timeout_ms   written by COMMIT
                allow_t allow_u allow_c      digits, or empty where unbounded
                sha1         of its message
                token worker since_ms beat_ms until_ms              while it is claimed
                t u c        charged, calls in flight at their worst case; absent until a charge
                calls        calls in flight: "op:t:u:c:n;op:t:u:c:n;", n is a place in models
                models       by which model how much is charged: "t:u:c:name;", see _settle.lua
                over         "t:u:c" really used beyond the allowance, so never booked
                handed       the token with which it was handed back

Crash rules. State and messages are written by one script, so there is no moment between them. A
process that dies with a task loses nothing: the alarm that CLAIM set brings the task back. A claim
is deleted by the commit that settles it; from then on its message counts as revoked. If nobody has
fetched that, it is withdrawn once it is at the head of its queue: by that commit, by the next one
that settles a claim there, or within a minute (lua/_stale.lua).
"""
