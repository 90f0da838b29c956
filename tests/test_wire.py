"""What goes onto a queue is what the installed Celery would have put there."""

import json
import os
from base64 import b64decode

import pytest

from envelopes import Amounts, Headers, Ledger, Limits, limits
from envelopes.keys import Keys
from envelopes.request import Budget, TaskRequest
from envelopes.seal import Forged, Signer, Verifier
from envelopes.until import PlanDone
from orchestrator import keyfile
from orchestrator.core.commands import Publish
from orchestrator.core.state import begin
from orchestrator.wire import Fields, Wire, _template, encode_with_celery

PRIVATE = os.urandom(32)
HARD_TEXT = '"quotes" \\ back, line\nbreak, ünïcode, 🚏, @id@ and 987654321'


HARD_NAME = "limit-987654321.id"
"""What stands for something else in a template, as far as a name can hold it."""


def task(**more):
    request = TaskRequest(
        goal="g", agent="research", budget=Budget(tokens=100), timeout=60, until=PlanDone(), **more
    )
    return begin("t1", request, 1_000)


def publish(subtask=1, goal=HARD_TEXT, agent="research"):
    return Publish(
        subtask=subtask,
        step="only",
        agent=agent,
        attempt=1,
        hop=3,
        allowance=Limits(tokens=90),
        timeout_ms=30_000,
        goal=goal,
        payload=json.dumps({"goal": goal, "input": None, "inputs": {}}, ensure_ascii=False),
        trail=("1:" + "a" * 16,),
        ledger=Ledger(Limits(tokens=100), Amounts(tokens=10), Amounts(), Amounts(tokens=90)),
        deadline_ms=600_000,
    )


def wire():
    return Wire(Signer(PRIVATE), Keys())


@pytest.mark.parametrize(("agent", "tenant"), [("research", "default"), (HARD_NAME, HARD_NAME)])
def test_the_filled_bytes_equal_what_celery_itself_encodes(agent, tenant):
    """ARCHITECTURE: «byte for byte, what the installed Celery writes», whatever names it holds."""
    one = publish(agent=agent)
    (out,) = wire().outgoing(task(tenant=tenant), [one], 5_000)
    ours = json.loads(out.message)
    names = ("buckstop", "buckstop_seal", "buckstop_claim")
    fields = Fields(
        subtask="t1/1",
        payload=one.payload,
        args=" ".join(one.goal.split()),
        kwargs=f"hop 3/12, step only, tenant {tenant}, attempt 1, subtask 1, may spend 90 tokens",
        limit_s=36,
        headers={name: ours["headers"][name] for name in names},
    )
    theirs = json.loads(encode_with_celery(agent, Keys().queue(agent, tenant), fields))
    theirs["properties"]["delivery_tag"] = ours["properties"]["delivery_tag"]
    assert out.message == json.dumps(theirs).encode()


def test_templates_are_remembered_for_so_many_queues_and_no_more():
    """limits.py: callers make up the names of agents and tenants."""
    assert _template.cache_info().maxsize == limits.TEMPLATES_MAX


def test_the_payload_travels_as_a_string_that_kombu_never_interprets():
    """PROMISES, bombs: Kombu turns `__type__` objects into Python ones; ours never meet it."""
    (out,) = wire().outgoing(task(), [publish(goal="x")], 5_000)
    _args, kwargs, _embed = json.loads(b64decode(json.loads(out.message)["body"]))
    assert isinstance(kwargs["payload"], str)
    assert json.loads(kwargs["payload"])["goal"] == "x"


def test_what_a_person_sees_in_flower_holds_the_goal_and_no_input():
    """PROMISES: «Secrets never go into args; set the representations»."""
    secret = publish(goal="look it up")
    (out,) = wire().outgoing(task(input="s3cret"), [secret], 5_000)
    headers = json.loads(out.message)["headers"]
    assert headers["argsrepr"] == "look it up"
    assert "hop 3/12" in headers["kwargsrepr"]


def test_every_message_of_a_stage_is_sealed_and_none_fits_another():
    """PROMISES: the signature covers the ids, the hop, the allowance, the deadline and the body."""
    stage = [publish(n, f"goal {n}") for n in range(1, 8)]
    messages = [json.loads(out.message) for out in wire().outgoing(task(), stage, 5_000)]
    verifier = Verifier([keyfile.public_of(PRIVATE)])
    texts = [m["headers"]["buckstop"].encode() for m in messages]
    seals = [m["headers"]["buckstop_seal"] for m in messages]
    for text, seal in zip(texts, seals, strict=True):
        verifier.check(text, seal)
    with pytest.raises(Forged):
        verifier.check(texts[0], seals[1])
    headers = Headers.model_validate_json(texts[6])
    assert (headers.id, headers.hop, headers.allowance.tokens) == ("t1/7", 3, 90)
    assert headers.ledger.reserved == Amounts(tokens=90)
