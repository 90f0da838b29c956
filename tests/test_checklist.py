"""The ten boxes that every run of agents must tick: one test for each, quoting its box.

Proved here on the vocabulary and the pure core. That the same holds with real processes, a real
server and real kills is shown by the tests of the store, the workers and the chaos test.
"""

import json

import pytest
from play import PLAN_DONE, Play, ask, bad, commands, good, part, request, sent, step

from envelopes import Envelope, Refused, TaskRequest, limits
from envelopes.headers import Headers
from envelopes.strict import parse
from orchestrator.core.commands import CloseLetter, Escalate
from orchestrator.core.task import Phase


def test_box_1_every_agent_has_a_hard_token_budget_per_invocation() -> None:
    """Box 1: "every agent has a hard token budget per invocation"."""
    play = Play(plan=[step(f"s{n}") for n in range(64)], budget={"tokens": 6400, "calls": 640})
    published = sent(play.wake())
    assert len(published) == 64
    for each in published:
        assert each.allowance.tokens == 90
        assert each.allowance.calls == 9
    play.answer(1, good(), tokens=10**9)
    assert play.task.ledger.spent.tokens == 90, "never more than it was allowed is ever booked"
    with pytest.raises(Refused, match="budget"):
        request(budget={})
    with pytest.raises(Refused, match="allowance: Field required"):
        parse(Headers, json.dumps({"v": 1} | _headers_without("allowance")), **EDGE)


def test_box_2_global_hop_counter_with_hard_cap() -> None:
    """Box 2: "global hop counter with hard cap, 12"."""
    assert limits.HOPS_DEFAULT == 12
    play = Play(agent="a").knows(a=("b",), b=("c",), c=("a",))
    hops = [each.hop for each in sent(play.wake())]
    subtask = 1
    while play.open:
        to = "abc"[subtask % 3]
        hops += [each.hop for each in sent(play.answer(subtask, ask(to, input=subtask)))]
        subtask += 1
    assert hops == list(range(1, 13))
    assert play.task.letter is not None
    assert play.task.letter.why == "hop_cap"


def test_box_3_wall_clock_timeout_on_the_whole_pipeline() -> None:
    """Box 3: "wall-clock timeout on the whole pipeline"."""
    play = Play(plan=[step("a"), step("b", "a")], timeout=60)
    play.wake()
    play.answer(1, good("kept"))
    play.fetch(2)
    while play.outcome is None:
        if play.open:
            play.beat(play.open[0])
        assert play.last.alarm_ms is not None
        play.wake(after_ms=max(1, play.last.alarm_ms - play.now_ms))
    assert play.now_ms == 60_000
    assert play.task.stop_reason == "deadline"
    assert play.claims == {}
    with pytest.raises(Refused, match="timeout"):
        parse(TaskRequest, json.dumps(_request_without("timeout")), **EDGE)


def test_box_4_one_accountable_owner() -> None:
    """Box 4: "one accountable owner"."""
    play = Play(agent="a").knows(a=("b",), b=())
    play.wake()
    [second] = sent(play.answer(1, ask("b")))
    assert second.agent == "b", "a worker asks; it is the owner that sends"
    refused = Play(agent="a").knows(a=(), b=())
    refused.wake()
    assert sent(refused.answer(1, ask("b"))) == [], "and that may say no"
    with pytest.raises(Refused, match="owner"):
        parse(Headers, json.dumps(_headers() | {"owner": "a"}), **EDGE)


def test_box_5_typed_status_envelopes_never_free_text() -> None:
    """Box 5: "typed status envelopes, never free text"."""
    for text in ('"I think it went well"', "It went well.", '{"status": "fine"}', "{}", "[]"):
        with pytest.raises(Refused):
            parse(Envelope, text, **EDGE)
    for untrue in (
        {"status": "success", "result": 1},
        {"status": "partial", "result": 1, "confidence": 1},
        {"status": "failed", "reason": "r", "result": 1},
    ):
        with pytest.raises(Refused):
            parse(Envelope, json.dumps(untrue), **EDGE)


def test_box_6_replan_logic_not_just_retry() -> None:
    """Box 6: "re-plan logic, not just retry"."""
    play = Play(
        plan=[step("a", fallbacks=["b"]), step("x", optional=True)],
        fallback_plans=[
            [step("a", fallbacks=["b"]), step("x", optional=True)],  # the first plan once more
            [step("z")],
        ],
    )
    tried = [each.agent for each in sent(play.wake())]
    play.answer(2, bad())
    while play.open:
        tried += [each.agent for each in sent(play.answer(play.open[0], bad()))]
    assert tried == ["a", "x", "b", "z"]
    assert len(set(play.task.plan_fingerprints)) == play.task.replans + 1


def test_box_7_a_result_validator_with_a_confidence_threshold() -> None:
    """Box 7: "a result validator with a confidence threshold"."""
    asked = {"confidence_min": 0.8, "result_schema": {"type": "object", "required": ["price"]}}
    for result, confidence, passes in (
        ({"price": 5}, 0.8, True),
        ({"price": 5}, 0.79, False),
        ({"prize": 5}, 1.0, False),
    ):
        play = Play(**asked)
        play.wake()
        play.answer(1, good(result, confidence))
        assert (play.outcome == "completed") is passes
        assert (play.task.phase is Phase.ON_DESK) is not passes


def test_box_8_a_human_escalation_path_that_is_tested() -> None:
    """Box 8: "a human escalation path that is tested"."""
    for said, outcome in (
        ({"verb": "approve"}, "partial"),
        ({"verb": "amend", "result": 1}, "completed"),
        ({"verb": "abort"}, "aborted"),
        ({"verb": "retry"}, None),
        (None, "aborted"),
    ):
        play = Play(confidence_min=0.9)
        play.wake()
        [letter] = commands(play.answer(1, part("half", 0.5)), Escalate)
        story = json.loads(letter.story)
        assert story["kept"] == "half"
        assert {"why", "spent", "steps", "allowed", "if_nobody_decides"} <= story.keys()
        if said is None:
            decision = play.wake(after_ms=letter.due_ms - play.now_ms)
        else:
            decision = play.decide(**said)
        assert len(commands(decision, CloseLetter)) == 1
        assert play.outcome == outcome


def test_box_9_termination_criteria_before_the_task_starts() -> None:
    """Box 9: "termination criteria before the task starts"."""
    with pytest.raises(Refused, match="until: a task without a finish line is refused"):
        parse(TaskRequest, json.dumps(_request_without("until")), **EDGE)
    play = Play(until={"kind": "any", "of": [PLAN_DONE, {"kind": "elapsed", "seconds": 30}]})
    terms = play.task.terms
    play.wake()
    play.answer(1, part("half", 0.9))
    assert play.outcome is not None
    assert play.task.terms is terms, "and nothing moves them while it runs"


# --- what the boxes above begin with -------------------------------------------------------------

EDGE = {"bytes_max": limits.REQUEST_BYTES_MAX, "what": "it"}


def _request_without(name: str) -> dict[str, object]:
    usual = {
        "goal": "find out",
        "agent": "a",
        "budget": {"tokens": 1},
        "timeout": 60,
        "until": PLAN_DONE,
    }
    return {key: value for key, value in usual.items() if key != name}


def _headers() -> dict[str, object]:
    play = Play()
    [each] = sent(play.wake())
    return {
        "v": 1,
        "task": "t",
        "subtask": 1,
        "agent": each.agent,
        "queue": "q",
        "step": each.step,
        "attempt": 1,
        "hop": each.hop,
        "hops_max": 12,
        "tenant": "default",
        "ledger": {"ceiling": {"tokens": 1}},
        "allowance": {"tokens": each.allowance.tokens},
        "issued_ms": 0,
        "deadline_ms": 1,
        "timeout_ms": each.timeout_ms,
        "nonce": "0" * 32,
        "body_sha256": "0" * 64,
    }


def _headers_without(name: str) -> dict[str, object]:
    return {key: value for key, value in _headers().items() if key != name}
