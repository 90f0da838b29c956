"""The auditor finds what is wrong: each predicate is shown evidence that breaks its sentence.

The evidence is that of a real, clean world, with one thing changed. A check that cannot fail is a
defect, so every predicate has its forgery here, and a new one without is noticed.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import pytest

from orchestrator.sim.auditor import PREDICATES, Verdict, audit
from orchestrator.sim.evidence import (
    Admission,
    Bytes,
    Evidence,
    Inputs,
    LetterEvidence,
    Move,
    Retry,
    TaskEvidence,
    Wake,
)
from orchestrator.sim.world import World

FAR_MS = 10**15
MUCH = 10**12
Forgery = Callable[[Evidence], Evidence]


@pytest.fixture(scope="module")
def clean() -> Evidence:
    """Run one world large enough for every forgery to find what it needs."""
    return World(1, 80).run()


# --- forgeries -----------------------------------------------------------------------------------


def _task(evidence: Evidence, fits: Callable[[TaskEvidence], bool], **changes: Any) -> Evidence:
    """Change the first task that fits."""
    task = next(task for task in evidence.tasks.values() if fits(task))
    return replace(evidence, tasks={**evidence.tasks, task.id: replace(task, **changes)})


def _line(evidence: Evidence, why: str, **changes: Any) -> Evidence:
    """Change the first line of that kind in the first journal that has one."""
    task = next(t for t in evidence.tasks.values() if any(x["why"] == why for x in t.journal))
    place = next(n for n, line in enumerate(task.journal) if line["why"] == why)
    line = {**task.journal[place], **changes}
    journal = (*task.journal[:place], line, *task.journal[place + 1 :])
    return _task(evidence, lambda each: each is task, journal=journal)


def _head(
    evidence: Evidence, fits: Callable[[Mapping[str, Any]], bool], **changes: Any
) -> Evidence:
    """Change the last record of the first task whose record fits."""
    task = next(t for t in evidence.tasks.values() if t.head is not None and fits(t.head))
    return _task(evidence, lambda each: each is task, head={**(task.head or {}), **changes})


def _effect(evidence: Evidence, **changes: Any) -> Evidence:
    """Change a call that was really made."""
    effects = list(evidence.effects or ())
    place = next(n for n, effect in enumerate(effects) if effect.real is not None)
    effects[place] = replace(effects[place], **changes)
    return replace(evidence, effects=effects)


def _gone(evidence: Evidence) -> Evidence:
    tasks = dict(evidence.tasks)
    del tasks[next(iter(tasks))]
    return replace(evidence, tasks=tasks)


def _too_many_subtasks(evidence: Evidence) -> Evidence:
    return _request(evidence, lambda task: _has(task, "publish"), subtasks_max=0)


def _too_many_plans(evidence: Evidence) -> Evidence:
    return _request(evidence, lambda task: _has(task, "next_agent"), replans_max=0)


def _request(evidence: Evidence, fits: Callable[[TaskEvidence], bool], **changes: Any) -> Evidence:
    task = next(task for task in evidence.tasks.values() if fits(task))
    return _task(evidence, lambda each: each is task, request={**task.request, **changes})


def _needs_that_never_came(evidence: Evidence) -> Evidence:
    """Leave out every envelope of a task in which one step waits for another."""
    task = next(task for task in evidence.tasks.values() if _waiting_steps(task))
    journal = tuple(line for line in task.journal if line["why"] != "envelope")
    return _task(evidence, lambda each: each is task, journal=journal)


def _waiting_steps(task: TaskEvidence) -> set[str]:
    """Name the published steps of a task that had to wait for others of the same plan."""
    waiting = {step["id"] for step in task.request["plan"] or () if step["needs"]}
    published = {line["step"] for line in task.journal if line["why"] == "publish"}
    return set() if _has(task, "next_plan") else waiting & published


def _after_the_end(evidence: Evidence) -> Evidence:
    task = next(task for task in evidence.tasks.values() if task.outcome)
    more = {**task.journal[-1], "why": "late_envelope"}
    return _task(evidence, lambda each: each is task, journal=(*task.journal, more))


def _never_stopped(evidence: Evidence) -> Evidence:
    done = next(t.id for t in evidence.tasks.values() if t.outcome == "completed")
    return replace(evidence, cancelled={**(evidence.cancelled or {}), done: 0})


def _half_a_letter(evidence: Evidence) -> Evidence:
    first, *others = evidence.letters
    fields = {name: text for name, text in first.fields.items() if name != "why"}
    return replace(evidence, letters=[replace(first, fields=fields), *others])


def _unfinished(evidence: Evidence) -> Evidence:
    """Call tasks completed that were cut off, most of them in the middle of their steps."""
    cut = {
        task.id: replace(task, outcome="completed")
        for task in evidence.tasks.values()
        if task.outcome == "partial"
        if task.head and task.head["stop_reason"] in {"deadline", "budget"}
    }
    return replace(evidence, tasks={**evidence.tasks, **cut})


def _never_told(evidence: Evidence) -> Evidence:
    """Forget what people have answered."""
    return replace(evidence, inputs=[replace(each, answers=()) for each in evidence.inputs or ()])


def _in_its_own_cause(evidence: Evidence) -> Evidence:
    """Show every judge a result that it has made itself."""
    mine = [replace(each, shown=f'{{"by":"{each.subtask}"}}') for each in evidence.inputs or ()]
    return replace(evidence, inputs=mine)


def _objection(evidence: Evidence) -> Evidence:
    """Let every judge have been sure that nothing was good enough."""
    tasks = dict(evidence.tasks)
    for task_id, task in tasks.items():
        journal = tuple(
            {**line, "text": "not ok: no", "confidence": 1.0} if line["why"] == "verdict" else line
            for line in task.journal
        )
        tasks[task_id] = replace(task, journal=journal)
    return replace(evidence, tasks=tasks)


def _work_after_a_cap(evidence: Evidence) -> Evidence:
    """Put a cap before the first message of a task."""
    task = next(task for task in evidence.tasks.values() if _has(task, "publish"))
    cap = {**task.journal[0], "why": "deadline", "text": "too early"}
    return _task(evidence, lambda each: each is task, journal=(cap, *task.journal))


def _five_faults(task: str) -> list[Move]:
    return [Move(task, n, (), ((n, "steady", "fault"),), waiting=False) for n in range(5)]


def _turned_round(move: Move) -> tuple[tuple[int, str, str], ...]:
    """Count against an agent what it did well, and the other way round."""
    other = {"ok": "fault", "fault": "ok", "": "ok"}
    return tuple((number, agent, other[verdict]) for number, agent, verdict in move.settled)


def _has(task: TaskEvidence, why: str) -> bool:
    return any(line["why"] == why for line in task.journal)


def _delivered(head: Mapping[str, Any]) -> bool:
    return head["outcome"] == "completed" and head["stop_reason"] == "plan_done"


_A_LOT = {"tokens": MUCH, "usd_micros": MUCH, "calls": MUCH}

FORGERIES: Mapping[str, Forgery] = {
    "every_acknowledged_task_has_exactly_one_outcome": lambda e: _task(
        e, lambda task: task.outcome is not None, outcome=None
    ),
    "nothing_is_lost_and_nothing_unexpected": _gone,
    "spent_and_reserved_never_exceed_the_ceiling": lambda e: _line(e, "envelope", spent=_A_LOT),
    "the_ending_is_kept_back_from_subtasks": lambda e: _line(e, "publish", allowance=_A_LOT),
    "the_books_of_the_days_are_the_settlements": lambda e: replace(
        e, spend={**(e.spend or {}), ("default", "steady"): (1, 2, 3)}
    ),
    "spent_is_the_sum_of_settlements": lambda e: _line(e, "envelope", charged=_A_LOT),
    "all_that_was_burned_is_booked": lambda e: _effect(
        e, real=(MUCH, MUCH, MUCH), worst=(MUCH, MUCH, MUCH)
    ),
    "no_call_is_made_that_could_overrun_its_allowance": lambda e: _effect(
        e, worst=(MUCH, MUCH, MUCH)
    ),
    "no_charge_comes_after_the_end_of_a_subtask": lambda e: _effect(e, at_ms=FAR_MS),
    "nothing_goes_out_after_the_deadline": lambda e: _line(e, "publish", at_ms=FAR_MS),
    "no_message_is_beyond_the_hop_cap": lambda e: _line(e, "publish", hop=1000),
    "a_message_is_one_hop_after_its_cause": lambda e: _line(e, "publish", hop=2),
    "no_task_publishes_more_subtasks_than_it_may": _too_many_subtasks,
    "a_step_goes_out_when_its_needs_are_there": _needs_that_never_came,
    "an_agent_is_given_what_its_needs_produced": lambda e: replace(
        e, inputs=[Inputs((e.inputs or ())[0].subtask, {"nothing": "t0/1"})]
    ),
    "a_subtask_is_run_at_most_once": lambda e: replace(
        e, claims=[*e.claims, replace(e.claims[0], token="another")]
    ),
    "an_open_task_is_never_neglected": lambda e: _task(
        e, lambda task: task.outcome is not None, outcome=None
    ),
    "a_finished_task_leaves_nothing_behind": lambda e: _task(
        e, lambda task: task.outcome is not None, claims=1
    ),
    "letters_and_causes_are_one_to_one": lambda e: replace(e, letters=e.letters[1:]),
    "every_letter_says_why_whence_and_when": _half_a_letter,
    "every_byte_pushed_was_delivered_or_is_queued": lambda e: replace(e, bytes=Bytes(injected=1)),
    "a_repeated_call_answers_the_same_and_changes_nothing": lambda e: replace(
        e, retries=[Retry("charge", same_answer=True, changed_nothing=False)]
    ),
    "final_is_final": _after_the_end,
    "every_decision_can_be_made": lambda e: replace(e, failures=["AssertionError"]),
    "a_wake_without_news_changes_nothing": lambda e: replace(e, wakes=[Wake("t0", "state")]),
    "a_cancelled_task_goes_no_further": _never_stopped,
    "a_new_plan_differs_from_every_earlier_one": _too_many_plans,
    "nothing_below_the_bar_leaves_without_a_person": lambda e: _head(e, _delivered, confidence=-1),
    "a_completed_task_is_whole": _unfinished,
    "a_step_goes_to_whom_it_is_meant_for": lambda e: _line(e, "publish", agent="somebody"),
    "an_answer_reaches_the_step_that_asked": _never_told,
    "a_manager_is_asked_no_more_often_than_there_are_hops": lambda e: _request(
        e, lambda task: _has(task, "satisfied"), hops_max=0
    ),
    "a_task_ends_as_it_may": lambda e: _head(e, _delivered, stop_reason="rounds>=3"),
    "nobody_judges_what_it_made": _in_its_own_cause,
    "no_result_leaves_against_a_verdict": _objection,
    "after_a_cap_only_judges_are_asked": _work_after_a_cap,
    "an_owner_agents_word_is_done": lambda e: _line(e, "last_word", text="perhaps: who knows"),
    "an_open_breaker_lets_one_probe_out_and_nothing_else": lambda e: replace(
        e, moves=[*_five_faults("t0"), Move("t0", 5, ((9, "steady"),), (), waiting=False)]
    ),
    "an_agent_answers_for_its_own_faults_only": lambda e: replace(
        e, moves=[replace(move, settled=_turned_round(move)) for move in e.moves or ()]
    ),
    "an_agent_has_no_more_in_flight_than_it_may": lambda e: replace(
        e, caps=dict.fromkeys(e.agents, 0)
    ),
    "a_tenant_has_no_more_at_work_than_it_may": lambda e: replace(
        e, admissions=[Admission("t0", "small", 3, 2)]
    ),
    "nothing_goes_out_for_a_task_that_waits_for_its_place": lambda e: replace(
        e, moves=[replace(move, waiting=True) for move in e.moves or ()]
    ),
    "what_has_happened_is_told_once": lambda e: replace(e, news=[*(e.news or ())][1:]),
}


# --- tests ---------------------------------------------------------------------------------------


def test_a_clean_run_breaks_nothing(clean: Evidence) -> None:
    """Without this, finding something in the forgeries would mean nothing."""
    assert audit(clean).violations == []


@pytest.mark.parametrize("name", [predicate.__name__ for _, predicate in PREDICATES])
def test_a_predicate_finds_what_breaks_its_sentence(name: str, clean: Evidence) -> None:
    """PROMISES, invariants: each is "a thing that can be checked", so each check can fail."""
    broken = {
        each for each, finding in audit(FORGERIES[name](clean)).findings.items() if finding.broken
    }
    assert any(each.endswith(name.replace("_", " ")) for each in broken)


def test_a_run_without_anything_proves_nothing() -> None:
    """PROMISES: "A run in which a predicate had nothing to check is void, not green"."""
    nobody = frozenset()
    seen = (nobody, nobody, {}, [], [], {}, Bytes(), [], [], [], [], [], {}, nobody, [], [])
    nothing = Evidence(*seen, spend={}, news=[])
    void = audit(nothing).void
    assert audit(nothing).violations == []
    assert {"no letter was seen", "no refused charge was seen", "no re-issue was seen"} < set(void)
    assert "no fenced refusal was seen" in void
    assert len(void) == len(PREDICATES) + 4


def test_what_a_collector_cannot_see_is_not_held_against_the_run(clean: Evidence) -> None:
    """A real server keeps no list of repeated calls: such a predicate is unseen, not void."""
    known = ("effects", "inputs", "retries", "wakes", "cancelled", "moves", "admissions")
    known += ("spend", "news")
    verdict = audit(replace(clean, **dict.fromkeys(known)))
    assert len(verdict.unseen) == 16
    assert not verdict.unseen & set(verdict.void)


def test_a_decision_on_a_message_that_no_journal_tells_of_is_found(clean: Evidence) -> None:
    """The issue: "Every decision is in the task's journal for good"."""
    fields = {"kind": "forged", "why": "x", "filed_ms": "1", "bytes": "x", "queue": "q"}
    fields |= {"state": "decided", "verb": "discard", "by": "ann", "decided_ms": "2"}
    task = next(iter(clean.tasks.values()))
    letter = LetterEvidence("m1", {**fields, "task": task.id}, listed=False)
    stats = {**clean.stats, "quarantined": clean.stats.get("quarantined", 0) + 1}
    told = [*(clean.news or ()), ("letter.filed", "m1"), ("letter.decided", "m1")]
    silent = replace(clean, letters=[*clean.letters, letter], stats=stats, news=told)
    [broken] = audit(silent).violations
    assert "discard by ann of the message in letter m1" in broken
    text = "discard by ann of the message in letter m1: because"
    told = {**task.journal[-1], "why": "message_discard", "text": text}
    journal = (*task.journal, told)
    assert audit(_task(silent, lambda each: each is task, journal=journal)).violations == []


def test_verdicts_of_many_runs_add_up(clean: Evidence) -> None:
    """A predicate that one world had nothing for may have had it in another."""
    total = Verdict()
    total.add(audit(clean))
    total.add(audit(clean))
    once = audit(clean).findings
    assert {n: f.checked for n, f in total.findings.items()} == {
        name: 2 * finding.checked for name, finding in once.items()
    }
