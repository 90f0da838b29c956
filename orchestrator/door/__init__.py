"""The door: any Celery client submits a task, with no Buckstop code installed.

    celery.send_task("buckstop.submit", kwargs={"goal": ..., ...}, queue="buckstop:submit")

Kwargs are the fields of a request. What comes of a message is a task, exactly one, or a letter that
says field by field what is wrong with it; its bytes are kept. Every orchestrator has a porter
(porter.py) that waits there; none of them leads.

    message.py   bytes -> a call, or why they are none: Celery's side of it
    judge.py     a call -> a submission, or why it is none: ours
    answer.py    what a client with a Celery result backend on this server is told
    door.py      the messages on the server: take, accept, refuse; one script each
    porter.py    wait, take, judge, settle
    broker.py    the server's address as Celery spells it

The orchestrator is no Celery consumer: Kombu pops a message before it records it, and loses those
that a dying process had. Here a message stays on its list until the script that makes a task or a
letter of it takes it away in the same step. Celery's id is the idempotency key where a request
brings none: whoever sends a message twice, or sees two orchestrators at it, has one task.

What Celery's options ask for and cannot be kept here is refused, not left out: eta and
countdown, callbacks, chains and chords, time limits. `expires` is kept: what was not taken by then
is a letter.
"""
