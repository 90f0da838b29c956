"""Envelopes, headers, decisions: what they mean, and everything they are not."""

import json
import re
from typing import Any

import pytest
from pydantic import ValidationError

from envelopes import SCHEMA_VERSION, Envelope, Fault, Headers, Refused, Status, limits
from envelopes.decision import Cancellation, Decision, Verb
from envelopes.strict import Frozen, parse

BYTES_MAX = limits.ENVELOPE_BYTES_MAX

SUCCESS = {"status": "success", "result": {"n": 1}, "confidence": 0.9}
PARTIAL = {"status": "partial", "result": [1], "confidence": 0.5, "reason": "half of it"}
FAILED = {"status": "failed", "reason": "no key"}
ASKING = {"status": "partial", "reason": "not mine", "ask": {"kind": "handoff", "to": "write"}}

HEADERS: dict[str, Any] = {
    "v": 1,
    "task": "0123abcd",
    "subtask": 3,
    "agent": "write",
    "queue": "buckstop:agent.write",
    "step": "draft",
    "attempt": 1,
    "hop": 2,
    "hops_max": 12,
    "owner": "orchestrator",
    "ledger": {"ceiling": {"tokens": 1000}, "spent": {"tokens": 10}},
    "allowance": {"tokens": 100},
    "issued_ms": 1_700_000_000_000,
    "deadline_ms": 1_700_000_060_000,
    "timeout_ms": 60_000,
    "lease_ms": 10_000,
    "trail": ["1:0123456789abcdef"],
    "tenant": "default",
    "traceparent": "00-" + "a" * 32 + "-" + "b" * 16 + "-01",
    "nonce": "0" * 32,
    "body_sha256": "f" * 64,
}

DECISION = {"letter": "t.1", "verb": "abort", "by": "ann"}


def refused(model: type[Frozen], value: dict[str, Any]) -> Refused:
    """Parse, and return the refusal that must come of it."""
    with pytest.raises(Refused) as caught:
        parse(model, json.dumps(value), bytes_max=BYTES_MAX, what="it")
    return caught.value


# --- envelopes -----------------------------------------------------------------------------------


@pytest.mark.parametrize("value", [SUCCESS, PARTIAL, FAILED, ASKING])
def test_an_envelope_comes_back_as_it_was_written(value: dict[str, Any]) -> None:
    """Typed status envelopes: what is written is what is read."""
    envelope = parse(Envelope, json.dumps(value), bytes_max=BYTES_MAX, what="it")
    again = envelope.model_dump_json()
    assert parse(Envelope, again, bytes_max=BYTES_MAX, what="it") == envelope


@pytest.mark.parametrize(
    ("value", "field", "why"),
    [
        ({"status": "success", "result": 1}, "confidence", "a success says how sure it is"),
        (SUCCESS | {"ask": {"kind": "handoff", "to": "write"}}, "ask", "final word"),
        (SUCCESS | {"fault": "raised"}, "fault", "a success has none"),
        ({"status": "partial", "result": 1, "confidence": 1}, "reason", "partial needs one"),
        ({"status": "failed"}, "reason", "failed needs one"),
        ({"status": "failed", "reason": ""}, "reason", "at least 1 character"),
        ({"status": "partial", "result": 1, "reason": "r"}, "confidence", "how sure it is"),
        (FAILED | {"result": 0}, "result", "a failed envelope carries none"),
        (FAILED | {"ask": {"kind": "handoff", "to": "write"}}, "ask", "asks for nothing"),
    ],
)
def test_the_three_statuses_mean_what_they_say(value: dict[str, Any], field: str, why: str) -> None:
    """Issue: "`failed` carries no result; `partial` and `failed` need a reason"."""
    found = refused(Envelope, value)
    assert found.field == field
    assert why in found.why


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"status": "done"}, "status"),
        ({"status": "SUCCESS"}, "status"),
        ({"status": 1}, "status"),
        ({"confidence": 1.0000001}, "confidence"),
        ({"confidence": -0.1}, "confidence"),
        ({"confidence": "0.9"}, "confidence"),
        ({"confidence": True}, "confidence"),
        ({"reason": "x" * (limits.REASON_CHARS_MAX + 1)}, "reason"),
        ({"reason": 5}, "reason"),
        ({"usage": {"tokens": -1}}, "usage.tokens"),
        ({"usage": {"tokens": 1.5}}, "usage.tokens"),
        ({"usage": {"tokens": "5"}}, "usage.tokens"),
        ({"usage": {"calls": True}}, "usage.calls"),
        ({"usage": {"usd_micros": limits.AMOUNT_CEILING + 1}}, "usage.usd_micros"),
        ({"usage": {"dollars": 1}}, "usage.dollars"),
        ({"progress": 1}, "progress"),
        ({"progress": "yes"}, "progress"),
        ({"fault": "tired"}, "fault"),
        ({"ask": {"kind": "delegate", "to": "write"}}, "ask.delegate.to"),
        ({"ask": {"kind": "beg", "to": "write"}}, "ask"),
        ({"ask": {}}, "ask"),
        ({"ask": {"kind": "handoff", "to": "../etc"}}, "ask.handoff.to"),
        ({"ask": {"kind": "handoff", "to": "x" * (limits.NAME_CHARS_MAX + 1)}}, "ask.handoff.to"),
        ({"ask": {"kind": "handoff", "to": "write", "goal": ""}}, "ask.handoff.goal"),
        (
            {"ask": {"kind": "handoff", "to": "write", "goal": "x" * (limits.GOAL_CHARS_MAX + 1)}},
            "ask.handoff.goal",
        ),
        ({"thoughts": "hm"}, "thoughts"),
        ({"v": 2}, "v"),
    ],
)
def test_anything_else_in_an_envelope_is_refused_by_its_field(
    change: dict[str, Any], field: str
) -> None:
    """Issue: "extra fields, NaN, absurd numbers: refused with an error that names the field"."""
    assert refused(Envelope, SUCCESS | change).field == field


def test_the_makers_say_the_three_things_a_worker_can_say() -> None:
    """success, partial, failed: and a reason too long for a field is cut, not refused."""
    assert Envelope.success([1], 0.5).status is Status.SUCCESS
    assert Envelope.partial([1], 0.5, "half").reason == "half"
    failed = Envelope.failed("x" * 10_000, Fault.RAISED)
    assert failed.reason is not None
    assert len(failed.reason) == limits.REASON_CHARS_MAX
    assert failed.fault is Fault.RAISED


def test_an_envelope_made_in_code_is_held_to_the_same_rules() -> None:
    """Whoever builds one by hand hears the field as well."""
    with pytest.raises(ValidationError, match="confidence"):
        Envelope.success("x", 1.5)
    with pytest.raises(ValidationError, match="reason: partial needs one"):
        Envelope(status=Status.PARTIAL)


# --- headers -------------------------------------------------------------------------------------


def test_headers_say_everything_and_name_their_subtask() -> None:
    """The promise: "Headers (schema version, task, subtask, … traceparent)"."""
    headers = parse(Headers, json.dumps(HEADERS), bytes_max=BYTES_MAX, what="it")
    assert headers.id == "0123abcd/3"
    assert headers.v == SCHEMA_VERSION
    assert headers.ledger.free().tokens == 990
    assert json.loads(headers.model_dump_json())["traceparent"] == HEADERS["traceparent"]


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"v": 2}, "v"),
        ({"v": 0}, "v"),
        ({"v": "1"}, "v"),
        ({"task": ""}, "task"),
        ({"task": "a/b"}, "task"),
        ({"task": "x" * 65}, "task"),
        ({"task": "a\n"}, "task"),
        ({"subtask": 0}, "subtask"),
        ({"subtask": limits.SUBTASKS_EVER_MAX + 1}, "subtask"),
        ({"subtask": "1"}, "subtask"),
        ({"attempt": 0}, "attempt"),
        ({"attempt": 10**400 % 10**300}, "attempt"),
        ({"hop": 0}, "hop"),
        ({"hop": limits.HOPS_EVER_MAX + 1}, "hop"),
        ({"hop": True}, "hop"),
        ({"hops_max": 0}, "hops_max"),
        ({"owner": "write"}, "owner"),
        ({"agent": "a b"}, "agent"),
        ({"queue": ""}, "queue"),
        ({"queue": "q" * (limits.KEY_CHARS_MAX + 1)}, "queue"),
        ({"step": "-x"}, "step"),
        ({"tenant": ""}, "tenant"),
        ({"ledger": {}}, "ledger.ceiling"),
        ({"ledger": {"ceiling": {"tokens": "5"}}}, "ledger.ceiling.tokens"),
        ({"ledger": {"ceiling": {"tokens": -5}}}, "ledger.ceiling.tokens"),
        ({"ledger": {"ceiling": {"wishes": 3}}}, "ledger.ceiling.wishes"),
        ({"ledger": {"ceiling": {}, "spent": {"calls": 1.5}}}, "ledger.spent.calls"),
        ({"ledger": {"ceiling": {}, "reserved": {"calls": -1}}}, "ledger.reserved.calls"),
        ({"ledger": {"ceiling": {}, "gift": 1}}, "ledger.gift"),
        ({"allowance": {"tokens": True}}, "allowance.tokens"),
        ({"allowance": {"tokens": 10**limits.AMOUNT_DIGITS_MAX}}, "allowance.tokens"),
        ({"allowance": {"usd": 1}}, "allowance.usd"),
        ({"issued_ms": -1}, "issued_ms"),
        ({"issued_ms": 1.5}, "issued_ms"),
        ({"deadline_ms": 10**300}, "deadline_ms"),
        ({"timeout_ms": 0}, "timeout_ms"),
        ({"timeout_ms": 10**12}, "timeout_ms"),
        ({"lease_ms": 0}, "lease_ms"),
        ({"trail": ["1:0123456789abcdef"] * (limits.TRAIL_MAX + 1)}, "trail"),
        ({"trail": ["research"]}, "trail.0"),
        ({"trail": ["1:0123456789abcdef", 5]}, "trail.1"),
        ({"traceparent": "00-abc"}, "traceparent"),
        ({"nonce": "0" * 31}, "nonce"),
        ({"nonce": "G" * 32}, "nonce"),
        ({"body_sha256": "F" * 64}, "body_sha256"),
        ({"priority": 9}, "priority"),
    ],
)
def test_a_wrong_header_is_refused_by_its_name(change: dict[str, Any], field: str) -> None:
    """Issue: "Unknown schema version … refused with an error that names the field"."""
    assert refused(Headers, HEADERS | change).field == field


@pytest.mark.parametrize(
    "name", sorted(HEADERS.keys() - {"v", "owner", "lease_ms", "trail", "traceparent"})
)
def test_no_header_that_matters_may_be_missing(name: str) -> None:
    """A worker never guesses what it may spend, or until when."""
    found = refused(Headers, {key: value for key, value in HEADERS.items() if key != name})
    assert (found.field, found.why) == (name, "Field required")


# --- decisions -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"verb": "amend"}, "result"),
        ({"verb": "amend", "result": None}, "result"),
        ({"verb": "approve", "result": 1}, "result"),
        ({"verb": "retry", "result": 1}, "result"),
        ({"verb": "abort", "budget": {"tokens": 5}}, "budget"),
        ({"verb": "approve", "hops": 1}, "hops"),
        ({"verb": "amend", "result": 1, "time": "5m"}, "time"),
        ({"verb": "shrug"}, "verb"),
        ({"verb": "retry", "budget": {}}, "budget"),
        ({"verb": "retry", "budget": {"usd": 0}}, "budget.usd"),
        ({"verb": "retry", "hops": limits.HOPS_CEILING + 1}, "hops"),
        ({"verb": "retry", "hops": -1}, "hops"),
        ({"verb": "retry", "time": 0}, "time"),
        ({"by": ""}, "by"),
        ({"by": "x" * (limits.NAME_CHARS_MAX + 1)}, "by"),
        ({"letter": ""}, "letter"),
        ({"why": "x" * (limits.REASON_CHARS_MAX + 1)}, "why"),
        ({"sure": True}, "sure"),
    ],
)
def test_a_decision_has_what_its_verb_needs_and_no_more(change: dict[str, Any], field: str) -> None:
    """approve, amend(result), retry(+budget, +hops, +time), abort: by somebody, on a letter."""
    assert refused(Decision, DECISION | change).field == field


@pytest.mark.parametrize(
    "change",
    [
        {"verb": "approve"},
        {"verb": "amend", "result": 0},
        {"verb": "amend", "result": False},
        {"verb": "retry"},
        {"verb": "retry", "budget": {"usd": "0.50"}, "hops": 3, "time": "1h"},
        {"verb": "abort", "why": "enough"},
    ],
)
def test_a_sensible_decision_is_taken(change: dict[str, Any]) -> None:
    decision = parse(Decision, json.dumps(DECISION | change), bytes_max=BYTES_MAX, what="it")
    assert decision.verb is Verb(change["verb"])


def test_a_cancellation_says_by_whom() -> None:
    """A caller's wish to stop is recorded with its author."""
    assert refused(Cancellation, {"why": "w"}).field == "by"
    assert refused(Cancellation, {"by": "ann", "force": True}).field == "force"


# --- all of them ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("model", "value"),
    [(Envelope, SUCCESS), (Headers, HEADERS), (Decision, DECISION), (Cancellation, {"by": "ann"})],
)
def test_every_word_refuses_what_json_readers_disagree_on(
    model: type[Frozen], value: dict[str, Any]
) -> None:
    """NaN, duplicate keys, half characters: in any field of any word, by the field's name."""
    text = json.dumps(value)
    for name in value:
        for spoilt, why in (("NaN", "NaN"), (r'"\ud800"', "half"), ('{"k":1,"k":2}', "twice")):
            broken = re.sub(
                rf'"{name}": ', lambda _, n=name, s=spoilt: f'"{n}": {s}, "rest": ', text, count=1
            )
            with pytest.raises(Refused) as caught:
                parse(model, broken, bytes_max=BYTES_MAX, what="it")
            assert caught.value.field.split(".")[0] == name
            assert why in caught.value.why
