"""A hostile schema on the whole way: submitted, held against a worker's envelope, and at the desk.

The loop is the real one on a real server. What is shown is that it comes back at all: each of these
schemas took hours, or ended the process, before work was bounded (tests/test_schema.py has more).
"""

from collections.abc import Iterator
from typing import Any

import pytest

from envelopes import Envelope
from envelopes.decision import Decision, Verb
from envelopes.seal import Signer
from orchestrator.client import Buckstop
from orchestrator.serve import Orchestrator
from orchestrator.settings import Settings
from orchestrator.store import Store
from orchestrator.wire import Wire
from tests.conftest import Fresh
from tests.hands import Hand
from tests.test_schema import doubled

HOSTILE: dict[str, tuple[dict[str, Any], Any, str]] = {
    "a pattern that goes back": ({"pattern": "^(a+)+$"}, "a" * 40 + "b", "does not match"),
    "a schema that doubles": (doubled("oneOf"), 1, "steps to check"),
    "a schema of itself": ({"$ref": "#/x", "x": {"$ref": "#/x"}}, 1, "cannot be applied"),
}


@pytest.fixture
def buckstop(fresh: Fresh) -> Iterator[Buckstop]:
    settings = Settings(fresh.url, "the test", fresh.keys.prefix)
    with Buckstop(settings=settings) as connected:
        yield connected


@pytest.fixture
def loop(fresh: Fresh) -> Orchestrator:
    return Orchestrator(Store(fresh.client, fresh.keys), Wire(Signer(b"k" * 32), fresh.keys))


def settle(loop: Orchestrator) -> None:
    while loop.turn(idle_ms_max=1):
        pass


def post(buckstop: Buckstop, decision: Decision) -> None:
    task_id = decision.letter.partition(".")[0]
    mail = f"decide\n{decision.model_dump_json()}".encode()
    buckstop.store.post(task_id, mail, decision.verb)


@pytest.mark.parametrize("name", HOSTILE)
def test_one_caller_s_schema_stops_neither_an_orchestrator_nor_the_desk(
    fresh: Fresh, buckstop: Buckstop, loop: Orchestrator, name: str
) -> None:
    """ARCHITECTURE: «one task that cannot be decided does not stop the others»."""
    schema, answer, says = HOSTILE[name]
    usual = {"goal": "g", "agent": "a", "budget": {"calls": 9}, "timeout": 60}
    done = {"until": {"kind": "plan_done"}, "at_cap": "escalate"}
    task = buckstop.submit(**usual, **done, result_schema=schema)
    hand = Hand(fresh.client, fresh.keys, "a")
    settle(loop)
    [job] = hand.take()
    assert hand.answer(job, Envelope.success(answer, 0.9)) == "ok"
    settle(loop)
    letter = task.status().letter
    assert letter is not None
    assert says in buckstop.letter(letter)["why"]
    [(_, fault)] = buckstop.check_amendment(letter, answer)
    assert says in fault
    post(buckstop, Decision(letter=letter, verb=Verb.AMEND, by="ann", result=answer))
    settle(loop)
    assert says in task.show().journal[-1]["text"]
    post(buckstop, Decision(letter=letter, verb=Verb.APPROVE, by="ann"))  # the last word
    settle(loop)
    assert task.status().result == answer
