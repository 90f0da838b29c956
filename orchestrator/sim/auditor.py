"""Check what was promised against what was seen: one independent checker for every kind of run.

docs/PROMISES.md numbers the invariants; each predicate carries its sentence as its name and its
number in `PREDICATES`. A predicate walks over everything it applies to and yields, for each, None
where the promise held or a text where it did not. What it yields nothing for, it had nothing to
check, and a run in which that happened proves nothing about it: it is *void*, not green.

The books are the auditor's own (books.py), made from the journal (reader.py); the core's arithmetic
is not called. Evidence that a collector cannot see is None, and the predicates that live on it are
`unseen` instead of void.
"""

from collections import Counter
from dataclasses import dataclass, field
from typing import Final

from orchestrator.sim.evidence import Evidence
from orchestrator.sim.promises import (
    bounds,
    desk,
    judges,
    messages,
    money,
    news,
    outcomes,
    places,
)
from orchestrator.sim.promises.case import Case, Checks, Predicate
from orchestrator.sim.reader import read

_EXAMPLES_MAX: Final = 5
"""Violations of one predicate that are spelled out; the rest is counted."""
_REISSUES: Final = ("lost", "unclaimed", "revoked")

PREDICATES: Final[tuple[tuple[int, Predicate], ...]] = (
    (1, outcomes.every_acknowledged_task_has_exactly_one_outcome),
    (2, outcomes.nothing_is_lost_and_nothing_unexpected),
    (3, money.spent_and_reserved_never_exceed_the_ceiling),
    (3, money.the_ending_is_kept_back_from_subtasks),
    (4, money.spent_is_the_sum_of_settlements),
    (4, money.the_books_of_the_days_are_the_settlements),
    (5, money.all_that_was_burned_is_booked),
    (5, money.no_call_is_made_that_could_overrun_its_allowance),
    (6, money.no_charge_comes_after_the_end_of_a_subtask),
    (6, bounds.nothing_goes_out_after_the_deadline),
    (7, bounds.no_message_is_beyond_the_hop_cap),
    (7, bounds.a_message_is_one_hop_after_its_cause),
    (7, bounds.no_task_publishes_more_subtasks_than_it_may),
    (7, bounds.a_step_goes_out_when_its_needs_are_there),
    (7, bounds.an_agent_is_given_what_its_needs_produced),
    (8, messages.a_subtask_is_run_at_most_once),
    (9, outcomes.an_open_task_is_never_neglected),
    (9, outcomes.a_finished_task_leaves_nothing_behind),
    (10, desk.letters_and_causes_are_one_to_one),
    (10, desk.every_letter_says_why_whence_and_when),
    (11, messages.every_byte_pushed_was_delivered_or_is_queued),
    (12, outcomes.a_repeated_call_answers_the_same_and_changes_nothing),
    (13, outcomes.final_is_final),
    (13, outcomes.every_decision_can_be_made),
    (13, outcomes.a_wake_without_news_changes_nothing),
    (13, outcomes.a_cancelled_task_goes_no_further),
    (14, bounds.a_new_plan_differs_from_every_earlier_one),
    (15, desk.nothing_below_the_bar_leaves_without_a_person),
    (15, desk.a_completed_task_is_whole),
    (17, bounds.a_step_goes_to_whom_it_is_meant_for),
    (17, bounds.an_answer_reaches_the_step_that_asked),
    (18, bounds.a_manager_is_asked_no_more_often_than_there_are_hops),
    (18, judges.a_task_ends_as_it_may),
    (19, judges.nobody_judges_what_it_made),
    (19, judges.no_result_leaves_against_a_verdict),
    (20, bounds.after_a_cap_only_judges_are_asked),
    (20, judges.an_owner_agents_word_is_done),
    (21, places.an_open_breaker_lets_one_probe_out_and_nothing_else),
    (21, places.an_agent_answers_for_its_own_faults_only),
    (22, places.an_agent_has_no_more_in_flight_than_it_may),
    (22, places.a_tenant_has_no_more_at_work_than_it_may),
    (22, places.nothing_goes_out_for_a_task_that_waits_for_its_place),
    (23, news.what_has_happened_is_told_once),
)
"""By the number of the invariant in docs/PROMISES.md."""


@dataclass(slots=True)
class Finding:
    """What one predicate found."""

    checked: int = 0
    broken: int = 0
    examples: list[str] = field(default_factory=list)

    def add(self, other: "Finding") -> None:
        """Add what was found in another run."""
        self.checked += other.checked
        self.broken += other.broken
        self.examples = (self.examples + other.examples)[:_EXAMPLES_MAX]


@dataclass(slots=True)
class Verdict:
    """What the auditor says of a run, or of several."""

    findings: dict[str, Finding] = field(default_factory=dict)
    unseen: set[str] = field(default_factory=set)
    witnesses: Counter[str] = field(default_factory=Counter)
    """How often the run met what a fault is supposed to bring about."""

    @property
    def violations(self) -> list[str]:
        """Say what was broken, with a few examples of each."""
        return [f"{name}: {each}" for name, f in self.findings.items() for each in f.examples]

    @property
    def void(self) -> list[str]:
        """Name what this run proves nothing about."""
        idle = [n for n, f in self.findings.items() if not f.checked and n not in self.unseen]
        return idle + [f"no {name} was seen" for name, n in sorted(self.witnesses.items()) if not n]

    def add(self, other: "Verdict") -> None:
        """Add what was found in another run."""
        for name, finding in other.findings.items():
            self.findings.setdefault(name, Finding()).add(finding)
        self.unseen |= other.unseen
        self.witnesses.update(other.witnesses)


def audit(evidence: Evidence) -> Verdict:
    """Check one run."""
    books = {name: read(task, evidence.agents) for name, task in evidence.tasks.items()}
    case = Case(evidence, books)
    verdict = Verdict(witnesses=_witnesses(case))
    for number, predicate in PREDICATES:
        name = f"{number} {predicate.__name__.replace('_', ' ')}"
        checks = predicate(case)
        if checks is None:
            verdict.unseen.add(name)
        verdict.findings[name] = _found(checks or iter(()))
    return verdict


def _found(checks: Checks) -> Finding:
    finding = Finding()
    for broken in checks:
        finding.checked += 1
        if broken is not None:
            finding.broken += 1
            if len(finding.examples) < _EXAMPLES_MAX:
                finding.examples.append(broken)
    return finding


def _witnesses(case: Case) -> Counter[str]:
    stats = case.evidence.stats
    lines = Counter(line["why"] for book in case.books.values() for line in book.task.journal)
    faults = Counter(line["fault"] for book in case.books.values() for line in book.task.journal)
    return Counter(
        {
            "fenced refusal": stats.get("fenced_charges", 0) + stats.get("fenced_reports", 0),
            "refused charge": stats.get("refused_charges", 0) + faults["budget"],
            "re-issue": sum(lines[why] for why in _REISSUES),
            "letter": len(case.evidence.letters),
        }
    )
