"""Nothing reaches Celery that is not a well-formed, signed, current message of ours.

Stock Celery dies of 7 of 25 kinds of bad message and silently drops 13. Here each of them becomes a
letter with its own reason and the original bytes, the worker lives, and the next good message runs.
"""

import bz2
import json
import os
import secrets
import time
from base64 import b64encode
from collections import Counter
from hashlib import sha256
from pathlib import Path

import pytest
from redis.exceptions import ConnectionError as ConnectionLost

from envelopes.letter import LetterKind
from envelopes.limits import MESSAGE_BYTES_MAX
from envelopes.seal import Signer, Verifier
from orchestrator.keyfile import public_of
from orchestrator.wire import body_of
from tests.shop import PRIVATE_KEY, Hands, Office, Worker
from tests.until import until
from workers.claims import Claims
from workers.gate import REASONS, Kind, Message, Refusal, as_celery_reads_it, inspect
from workers.held import Held
from workers.intake import Intake


def dumps(value: object) -> bytes:
    return json.dumps(value).encode()


def spoilt(**headers):
    """Change Celery's own headers of a message that is signed."""

    def spoil(office: Office, message) -> bytes:
        sealed = message.sealed(office.signer)
        sealed["headers"] |= headers
        return dumps(sealed)

    return spoil


def without(*names: str):
    """Leave headers out."""

    def spoil(office: Office, message) -> bytes:
        sealed = message.sealed(office.signer)
        for name in names:
            del sealed["headers"][name]
        return dumps(sealed)

    return spoil


def outside(**parts):
    """Change the message around its headers."""
    return lambda office, message: dumps(message.sealed(office.signer) | parts)


def signed(**headers):
    """Let an orchestrator sign something that it should not have written."""

    def spoil(office: Office, message) -> bytes:
        message.headers.update(headers)
        return dumps(message.sealed(office.signer))

    return spoil


def edited_text(**headers):
    """Edit the signed text, and leave the seal as it was."""

    def spoil(office: Office, message) -> bytes:
        sealed = message.sealed(office.signer)
        text = json.loads(sealed["headers"]["buckstop"])
        sealed["headers"]["buckstop"] = json.dumps(text | headers, separators=(",", ":"))
        return dumps(sealed)

    return spoil


def foreign_key(_: Office, message) -> bytes:
    return dumps(message.sealed(Signer(secrets.token_bytes(32))))


def foreign_seal(office: Office, message) -> bytes:
    """Carry the seal of another message that is well signed."""
    sealed, other = (m.sealed(office.signer) for m in (message, office.message("noop")))
    sealed["headers"]["buckstop_seal"] = other["headers"]["buckstop_seal"]
    return dumps(sealed)


def edited_body(office: Office, message) -> bytes:
    other = body_of(json.dumps({"goal": "spend it all", "input": None, "inputs": {}}))
    return dumps(message.sealed(office.signer) | {"body": other})


def signed_nonsense(office: Office, message) -> bytes:
    """Let an orchestrator sign a body that is no call."""
    body = b64encode(b'[[], {"payload": 7}, {}]').decode()
    message.headers["body_sha256"] = sha256(body.encode()).hexdigest()
    return dumps(message.sealed(office.signer) | {"body": body})


def other_claim(office: Office, message) -> bytes:
    """Name the claim of another subtask."""
    sealed = message.sealed(office.signer)
    task, nonce = sealed["headers"]["buckstop_claim"].split(":")
    sealed["headers"]["buckstop_claim"] = f"{task}0:{nonce}"
    return dumps(sealed)


def bomb(office: Office, message) -> bytes:
    squeezed = b64encode(bz2.compress(b"0" * 10_000_000)).decode()
    sealed = message.sealed(office.signer) | {"body": squeezed}
    sealed["headers"]["compression"] = "application/x-bz2"
    return dumps(sealed)


def protocol_1(office: Office, message) -> bytes:
    """Write a message as Celery did ten years ago: the task's name stands in the body."""
    body = b64encode(dumps({"task": "agent.noop", "id": message.id, "args": [], "kwargs": {}}))
    return dumps(message.sealed(office.signer) | {"headers": {}, "body": body.decode()})


def stock(_: Office, message) -> bytes:
    """Write what any stock Celery client would send."""
    return dumps(
        {
            "body": b64encode(b'[[], {"payload": "{}"}, {}]').decode(),
            "content-type": "application/json",
            "content-encoding": "utf-8",
            "headers": {"lang": "py", "task": "agent.noop", "id": message.id},
            "properties": {"delivery_tag": "1", "delivery_info": {}, "body_encoding": "base64"},
        }
    )


def decimal_bomb(_: Office, __) -> bytes:
    """Kombu's `__type__` hook would turn 56 bytes into minutes of work."""
    return b'{"__type__": "decimal", "__value__": "1e999999999"}'


BAD = {
    # not JSON, or not in the shape of a message
    "empty": (Kind.UNDECODABLE, lambda *_: b""),
    "bytes": (Kind.UNDECODABLE, lambda *_: b"\x80\x04\x95\xff\x00"),
    "text": (Kind.UNDECODABLE, lambda *_: b"hello"),
    "cut short": (Kind.UNDECODABLE, lambda o, m: dumps(m.sealed(o.signer))[:-20]),
    "two in one": (Kind.UNDECODABLE, lambda o, m: dumps(m.sealed(o.signer)) * 2),
    "not a number": (Kind.UNDECODABLE, lambda *_: b'{"headers": NaN}'),
    "half a character": (Kind.UNDECODABLE, lambda *_: b'{"headers": "\\ud800"}'),
    "huge integer": (Kind.UNDECODABLE, lambda *_: b'{"a": ' + b"9" * 200_000 + b"}"),
    "null": (Kind.SHAPE, lambda *_: b"null"),
    "list": (Kind.SHAPE, lambda *_: b"[1, 2]"),
    "decimal bomb": (Kind.SHAPE, decimal_bomb),
    "empty object": (Kind.SHAPE, lambda *_: b"{}"),
    "no properties": (Kind.SHAPE, outside(properties=None)),
    "headers are a list": (Kind.SHAPE, outside(headers=[1])),
    "body is an object": (Kind.SHAPE, outside(body={"args": []})),
    "deep": (Kind.DEEP, lambda *_: b'{"a":' * 30_000 + b"1" + b"}" * 30_000),
    "deep in a header": (Kind.DEEP, lambda *_: b'{"headers": ' + b"[" * 40 + b"]" * 40 + b"}"),
    # in a way that is never used here
    "pickle": (Kind.SERIALIZER, outside(**{"content-type": "application/x-python-serialize"})),
    "yaml": (Kind.SERIALIZER, outside(**{"content-type": "application/x-yaml"})),
    "signed by Celery": (Kind.SERIALIZER, outside(**{"content-type": "application/data"})),
    "no content type": (Kind.SERIALIZER, outside(**{"content-type": None})),
    "content encoding": (Kind.ENCODING, outside(**{"content-encoding": "binary"})),
    "body encoding": (Kind.ENCODING, outside(properties={"delivery_tag": "1"})),
    "compression bomb": (Kind.COMPRESSED, bomb),
    "eta": (Kind.ETA, spoilt(eta="2099-01-01T00:00:00+00:00")),
    "wrong eta": (Kind.ETA, spoilt(eta=[])),
    "expires": (Kind.EXPIRES, spoilt(expires="2001-01-01T00:00:00+00:00")),
    "retries": (Kind.RETRIED, spoilt(retries=3)),
    # not for this worker, or not from us
    "no task": (Kind.NO_TASK, without("task")),
    "task is a number": (Kind.NO_TASK, spoilt(task=7)),
    "no id": (Kind.NO_TASK, without("id")),
    "protocol 1": (Kind.NO_TASK, protocol_1),
    "unknown task": (Kind.UNKNOWN_TASK, spoilt(task="os.system")),
    "built-in task": (Kind.UNKNOWN_TASK, spoilt(task="celery.chord_unlock")),
    "a stock client": (Kind.UNSIGNED, stock),
    "no seal": (Kind.UNSIGNED, without("buckstop_seal")),
    "no headers of ours": (Kind.UNSIGNED, without("buckstop")),
    "foreign key": (Kind.FORGED, foreign_key),
    "foreign seal": (Kind.FORGED, foreign_seal),
    "no readable seal": (Kind.FORGED, spoilt(buckstop_seal="....")),
    "endless seal": (Kind.FORGED, spoilt(buckstop_seal="a." * 50_000)),
    "more budget": (Kind.FORGED, edited_text(allowance={"tokens": 10**9})),
    "more hops": (Kind.FORGED, edited_text(hops_max=99)),
    "later deadline": (Kind.FORGED, edited_text(deadline_ms=10**14)),
    # signed, but not this
    "newer schema": (Kind.SCHEMA, signed(v=2)),
    "extra header": (Kind.HEADERS, signed(mood="good")),
    "absurd hop": (Kind.HEADERS, signed(hop=-1)),
    "another queue": (Kind.WRONG_QUEUE, signed(queue="buckstop:agent.other")),
    "another task": (Kind.EDITED_TASK, spoilt(task="agent.payer")),
    "another id": (Kind.EDITED_ID, spoilt(id="x/1")),
    "another claim": (Kind.EDITED_CLAIM, other_claim),
    "edited body": (Kind.EDITED_BODY, edited_body),
    "signed nonsense": (Kind.BODY, signed_nonsense),
    "expired": (Kind.EXPIRED, signed(deadline_ms=1)),
}
OVERSIZE = (Kind.OVERSIZE, lambda *_: b'{"body": "' + b"A" * MESSAGE_BYTES_MAX + b'"}')
TASKS = frozenset({"agent.noop", "agent.payer"})


@pytest.fixture
def office(fresh) -> Office:
    return Office(fresh.client, fresh.keys)


@pytest.fixture
def verifier() -> Verifier:
    return Verifier([public_of(PRIVATE_KEY)])


def looked_at(raw: bytes, office: Office, verifier: Verifier) -> Message | Refusal:
    return inspect(raw, office.keys.queue("noop"), office.now_ms, verifier, TASKS)


# --- the gate alone ------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [*BAD, "oversize"])
def test_each_kind_of_bad_message_is_refused_for_its_own_reason(name, office, verifier) -> None:
    """Each quarantined with its own reason; refused in < 100 ms."""
    kind, spoil = (BAD | {"oversize": OVERSIZE})[name]
    raw = spoil(office, office.message("noop"))
    begun = time.thread_time()  # our own work: a busy machine is not the gate's fault
    found = looked_at(raw, office, verifier)
    assert time.thread_time() - begun < 0.1
    assert isinstance(found, Refusal), found
    assert found.kind is kind, found.why
    assert found.why
    assert len(found.why) < 500


def test_every_kind_has_a_reason_and_a_message_that_shows_it() -> None:
    """A check that cannot fail is a defect."""
    from_the_claim = {Kind.REPLAYED, Kind.NOT_ISSUED}
    assert set(REASONS) == set(Kind)
    assert len(set(REASONS.values())) == len(Kind)
    assert {kind for kind, _ in [*BAD.values(), OVERSIZE]} == set(Kind) - from_the_claim
    assert len(BAD) >= 25


def test_a_good_message_passes_and_says_what_was_signed(office, verifier) -> None:
    message = office.message("noop", hop=3, payload={"goal": "ä", "input": 1, "inputs": {}})
    found = looked_at(dumps(message.sealed(office.signer)), office, verifier)
    assert isinstance(found, Message), found
    assert (found.headers.id, found.headers.hop) == (message.id, 3)
    assert json.loads(found.payload) == {"goal": "ä", "input": 1, "inputs": {}}


def test_nothing_that_was_not_signed_comes_through_to_celery(office, verifier) -> None:
    """Flower shows representations; nothing else of an unsigned header may matter."""
    sealed = message = office.message("noop").sealed(office.signer)
    sealed["headers"] |= {"timelimit": [None, 1], "shadow": "x", "group": "g", "chord": {"a": 1}}
    sealed["properties"] |= {"reply_to": "somewhere", "priority": 9}
    found = looked_at(dumps(message), office, verifier)
    assert isinstance(found, Message), found
    written = as_celery_reads_it(found, 9.0)
    assert written["headers"]["timelimit"] == [9.0, None]
    assert not {"shadow", "chord", "buckstop", "buckstop_seal"} & set(written["headers"])
    assert written["headers"]["group"] is None
    assert "reply_to" not in written["properties"]
    assert (written["headers"]["argsrepr"], written["properties"]["priority"]) == ("args", 0)


def test_the_last_moment_is_too_late(office, verifier) -> None:
    raw = dumps(office.message("noop", deadline_ms=500).sealed(office.signer))
    queue = office.keys.queue("noop")
    assert isinstance(inspect(raw, queue, 499, verifier, TASKS), Message)
    assert isinstance(inspect(raw, queue, 500, verifier, TASKS), Refusal)


def test_a_bit_flipped_anywhere_in_the_signed_text_is_noticed(office, verifier) -> None:
    sealed = office.message("noop").sealed(office.signer)
    text = sealed["headers"]["buckstop"]
    for place in range(0, len(text), 7):
        flipped = text[:place] + chr(ord(text[place]) ^ 1) + text[place + 1 :]
        sealed["headers"]["buckstop"] = flipped
        assert isinstance(looked_at(dumps(sealed), office, verifier), Refusal)


# --- the gate and the claims ---------------------------------------------------------------------


@pytest.fixture
def intake(fresh, verifier) -> Intake:
    """An intake without a worker around it."""

    class Silent:
        def add(self, *_: object) -> None: ...
        def remove(self, *_: object) -> None: ...

    claims = Hands(fresh.client, fresh.keys).claims
    return Intake(claims, Held(lambda: 100), Silent(), verifier, TASKS)


def taken(intake: Intake, office: Office) -> list[str]:
    """Take what is on the queue; return the ids that passed."""
    return [m["headers"]["id"] for _, m in intake.take([office.keys.queue("noop")])]


def test_a_refused_copy_gives_its_claim_back_and_the_real_message_runs(office, intake) -> None:
    """A forged or edited copy can neither run nor block the real one."""
    message = office.message("noop")
    real = dumps(message.sealed(office.signer))
    office.publish(message, raw={message.subtask: edited_body(office, message)})
    assert taken(intake, office) == []
    assert office.claim(message.id)["state"] == "issued"
    office.push(real, office.keys.queue("noop"))
    assert taken(intake, office) == [message.id]
    assert office.claim(message.id)["state"] == "claimed"


def about(letter: dict[str, bytes]) -> tuple[bytes, bytes]:
    return letter["kind"], letter["reason"]


@pytest.mark.parametrize("kind", Kind)
def test_what_is_refused_is_filed_as_one_of_the_kinds_a_person_knows(kind: Kind) -> None:
    """The issue: "kind (... undeliverable, expired, forged, oversize ...)"."""
    filed_as = Refusal(kind, "why").filed_as
    assert filed_as.of_a_message
    if kind.value in set(LetterKind):
        assert filed_as == kind.value


def test_a_replayed_message_becomes_a_letter_and_runs_once(office, intake) -> None:
    """Replay storm: each subtask id runs at most once."""
    message = office.message("noop")
    office.publish(message)
    for _ in range(3):
        office.push(dumps(message.sealed(office.signer)), office.keys.queue("noop"))
    assert taken(intake, office) == [message.id]
    letters = office.letters()
    assert [about(letter) for letter in letters] == [(b"forged", b"replayed")] * 3
    assert {(each["task"], each["subtask"]) for each in letters} == {
        (office.task.encode(), message.id.encode())
    }
    assert office.claim(message.id)["state"] == "claimed"


def test_a_message_whose_claim_was_issued_with_another_nonce_is_filed(office, intake) -> None:
    first, second = office.message("noop"), office.message("noop")
    office.publish(first)
    assert taken(intake, office) == [first.id]
    second = type(second)(
        first.subtask,
        second.headers | {"subtask": first.subtask},
        second.body,
        second.allowance,
        second.timeout_ms,
    )
    office.push(dumps(second.sealed(office.signer)), office.keys.queue("noop"))
    assert taken(intake, office) == []
    assert [about(letter) for letter in office.letters()] == [(b"forged", b"not-issued")]


def test_what_the_owner_has_taken_away_is_dropped_and_counted(office, intake) -> None:
    """The owner knows: there is nobody to ask."""
    office.send("noop")
    office.store.look(office.task, [], [1])
    assert taken(intake, office) == []
    assert office.letters() == []
    assert office.store.stats()["revoked_dropped"] == 1


def test_a_forgery_that_names_an_unknown_claim_is_filed_all_the_same(office, intake) -> None:
    """Forged: each becomes a dead letter."""
    office.push(foreign_key(office, office.message("noop")), office.keys.queue("noop"))
    assert taken(intake, office) == []
    assert [about(letter) for letter in office.letters()] == [(b"forged", b"forged")]


def test_a_letter_holds_the_original_bytes_and_where_they_came_from(office, intake) -> None:
    raw = b"\x00\xff not a message \n"
    office.push(raw, office.keys.queue("noop"))
    taken(intake, office)
    (letter,) = office.letters()
    assert letter["bytes"] == raw
    assert letter["sha256"].decode() == sha256(raw).hexdigest()
    assert letter["queue"].decode() == office.keys.queue("noop")
    assert about(letter) == (b"undeliverable", b"undecodable")
    assert letter["why"].decode().startswith(f"{REASONS[Kind.UNDECODABLE]}: ")
    assert (letter["agent"], letter["tenant"]) == (b"noop", b"default")


def test_a_fetch_whose_reply_was_lost_is_repeated_and_loses_no_message(
    fresh, office, verifier
) -> None:
    """A lost reply and a retry are as if once; each message is still known by its own queue."""
    hands = Hands(fresh.client, fresh.keys)

    class Lossy:
        lose = True

        def run(self, *call):
            reply = hands.scripts.run(*call)
            if self.lose:
                self.lose = False
                raise ConnectionLost("the reply was lost")
            return reply

    class Silent:
        def add(self, *_: object) -> None: ...
        def remove(self, *_: object) -> None: ...

    claims = Claims(Lossy(), fresh.keys, "lossy")
    intake = Intake(claims, Held(lambda: 100), Silent(), verifier, TASKS)
    sent = office.publish(*(office.message(agent) for agent in ("noop", "payer", "noop")))
    queues = [office.keys.queue(agent) for agent in ("noop", "payer")]
    with pytest.raises(ConnectionLost):
        list(intake.take(queues))
    assert sorted(m["headers"]["id"] for _, m in intake.take(queues)) == sent
    assert office.letters() == []


def test_a_letter_that_cannot_be_filed_now_costs_no_good_message_its_claim(
    fresh, office, verifier
) -> None:
    """What was fetched and may run is passed on, though the server is away a moment later."""
    hands = Hands(fresh.client, fresh.keys)

    class Away:
        def run(self, name, *call):
            if name == "quarantine":
                raise ConnectionLost("the server is away")
            return hands.scripts.run(name, *call)

    class Silent:
        def add(self, *_: object) -> None: ...
        def remove(self, *_: object) -> None: ...

    intake = Intake(Claims(Away(), fresh.keys, "w"), Held(lambda: 9), Silent(), verifier, TASKS)
    bad, good = office.message("noop"), office.message("noop")
    office.publish(bad, good, raw={bad.subtask: edited_body(office, bad)})
    passed = []
    with pytest.raises(ConnectionLost):
        passed.extend(m["headers"]["id"] for _, m in intake.take([office.keys.queue("noop")]))
    assert passed == [good.id]
    assert intake.held.has(good.id), "and it is beaten for"


# --- a real worker -------------------------------------------------------------------------------


def memory_mb(pid: int) -> int:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS"):
            return int(line.split()[1]) // 1024
    raise AssertionError


def work_s(pid: int) -> float:
    """Return how long a process has been at work, which is no longer on a busy machine."""
    *_, user, system = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[:13]
    return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")


@pytest.mark.parametrize("pool", ["threads", "prefork", "solo"])
def test_a_worker_survives_them_all_runs_none_and_goes_on(pool, fresh, office, tmp_path) -> None:
    """Worker alive, next good task < 1 s, each quarantined with its own reason, 0 executions."""
    queue = fresh.keys.queue("noop")
    with Worker(fresh.url, fresh.keys, tmp_path, arguments=("--pool", pool, "-c", "2")) as worker:
        worker.wait_ready()
        office.report(office.send("noop"))
        before_mb, before_s = memory_mb(worker.process.pid), work_s(worker.process.pid)
        expected, raws = Counter(), Counter()
        for kind, spoil in [*BAD.values(), OVERSIZE]:
            message = office.message("noop")
            raw = spoil(office, message)
            if kind is Kind.UNDECODABLE or kind is Kind.OVERSIZE:
                office.push(raw, queue)
            else:
                publish_at(office, message, raw, queue)
            expected[kind.value] += 1
            raws[raw[: 64 * 1024]] += 1
        good = office.send("noop")
        office.report(good)
        assert work_s(worker.process.pid) - before_s < 1
        until("all letters", lambda: len(office.letters()) >= sum(expected.values()))
        letters = office.letters()
        assert Counter(letter["reason"].decode() for letter in letters) == expected
        assert Counter(letter["bytes"] for letter in letters) == raws
        assert worker.process.poll() is None
        assert len(worker.ran()) == 2, "only the good ones ran"
        assert memory_mb(worker.process.pid) - before_mb < 50
        if pool == "threads":
            for line in worker.log.read_text().splitlines():
                json.loads(line)


def publish_at(office: Office, message, raw: bytes, queue: str) -> None:
    """Issue the claim as if the good message were on the queue, and put the bad one there."""
    message.headers["queue"] = queue
    office.publish(message, raw={message.subtask: raw})
