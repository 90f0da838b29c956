"""Check what was promised against what was seen: one independent checker for every kind of run.

PROMISES.md numbers the invariants; each predicate below carries its sentence as its name and its
number in `PREDICATES`. A predicate walks over everything it applies to and yields, for each, None
where the promise held or a text where it did not. What it yields nothing for, it had nothing to
check, and a run in which that happened proves nothing about it: it is *void*, not green.

The books are the auditor's own (books.py), made from the journal; the core's arithmetic is not
called. Evidence that a collector cannot see is None, and the predicates that live on it are `unseen`
instead of void.
"""

import json
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from jsonschema import Draft202012Validator

from orchestrator.sim.books import Book, clamped, plans, read, within
from orchestrator.sim.evidence import (
    Effect,
    Evidence,
    Json,
    Sum,
    TaskEvidence,
    amounts,
)

Checks = Iterator[str | None]
Predicate = Callable[["Case"], Checks | None]
OUTCOMES: Final = frozenset(("completed", "partial", "aborted"))
REISSUES: Final = frozenset(("lost", "unclaimed", "revoked"))
_EXAMPLES_MAX: Final = 5
"""Violations of one predicate that are spelled out; the rest is counted."""


@dataclass(frozen=True, slots=True)
class Case:
    """Evidence, and our own books of every task in it."""

    evidence: Evidence
    books: Mapping[str, Book]

    def ended(self) -> Iterable[tuple[TaskEvidence, Book, Json]]:
        """Walk over the tasks that are over, with their last record."""
        for book in self.books.values():
            if book.task.outcome is not None and book.task.head is not None:
                yield book.task, book, book.task.head


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
    case = Case(evidence, {name: read(task) for name, task in evidence.tasks.items()})
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
            "re-issue": sum(lines[why] for why in REISSUES),
            "letter": len(case.evidence.letters),
        }
    )


# --- 1, 2, 13: outcomes --------------------------------------------------------------------------


def every_acknowledged_task_has_exactly_one_outcome(case: Case) -> Checks:
    """Look for tasks that never ended, or ended twice."""
    seen: dict[str, set[str]] = defaultdict(set)
    for task_id, outcome in case.evidence.endings or ():
        seen[task_id].add(outcome)
    for task_id in sorted(case.evidence.acknowledged):
        book = case.books.get(task_id)
        if book is None:
            yield f"{task_id} was acknowledged and is gone"
            continue
        outcome, lines = book.task.outcome, len(book.concluded)
        if outcome not in OUTCOMES or lines != 1:
            yield f"{task_id} ended {lines} times, with {outcome}"
        elif seen[task_id] - {outcome}:
            yield f"{task_id} is {outcome}, and was seen to end {sorted(seen[task_id])}"
        else:
            yield None


def nothing_is_lost_and_nothing_unexpected(case: Case) -> Checks:
    """Compare what there is with what was acknowledged, and with what was ever attempted."""
    there = frozenset(case.books)
    for task_id in sorted(case.evidence.acknowledged | there):
        if task_id not in there:
            yield f"{task_id} was acknowledged and is lost"
        elif task_id not in case.evidence.attempted:
            yield f"{task_id} was never submitted by anybody"
        else:
            yield None


def final_is_final(case: Case) -> Checks:
    """Look for anything that was decided after the end, and for records that disagree on it."""
    for task, book, head in case.ended():
        last = task.journal[-1]["why"] if task.journal else "nothing"
        if last != "conclude":
            yield f"{task.id}: {last} came after its end"
        elif head["outcome"] != task.outcome or head["phase"] != "done":
            yield f"{task.id} is {task.outcome} to the store and {head['outcome']} to the core"
        elif book.open:
            yield f"{task.id} ended with {len(book.open)} subtasks open"
        else:
            yield None


def every_decision_can_be_made(case: Case) -> Checks:
    """Look for decisions out of which an exception came."""
    yield from case.evidence.failures
    if case.books:
        yield None


def a_wake_without_news_changes_nothing(case: Case) -> Checks | None:
    """Look at decisions that had nothing to decide."""
    wakes = case.evidence.wakes
    if wakes is None:
        return None
    return (f"{w.task}: it changed {w.changed}" if w.changed else None for w in wakes)


# --- 3, 4, 5, 6: money ---------------------------------------------------------------------------


def spent_and_reserved_never_exceed_the_ceiling(case: Case) -> Checks:
    """Look at the books as they stood at every line of every journal."""
    for task_id, book in case.books.items():
        for entry in book.entries:
            spent, reserved = amounts(entry.line["spent"]), amounts(entry.line["reserved"])
            total = _plus(spent, reserved)
            if min(*spent, *reserved) < 0 or not within(total, entry.ceiling):
                yield f"{task_id}: spent {spent} + reserved {reserved} of {entry.ceiling}"
            else:
                yield None


def the_ending_is_kept_back_from_subtasks(case: Case) -> Checks:
    """Look at every reservation."""
    for task_id, book in case.books.items():
        for sent in book.sent:
            yield None if sent.fits else f"{task_id}/{sent.subtask} reserved from the ending"


def spent_is_the_sum_of_settlements(case: Case) -> Checks:
    """Compare every line, and the last record, with our own books."""
    for task_id, book in case.books.items():
        yield from (f"{task_id}: {stray}" for stray in book.strays)
        for entry in book.entries:
            theirs = amounts(entry.line["spent"]), amounts(entry.line["reserved"])
            ours = entry.spent, entry.reserved
            if theirs == ours:
                yield None
            else:
                yield f"{task_id} at {entry.line['why']}: books say {theirs}, lines add up to {ours}"
        if book.task.head is not None:
            yield _last_books(book, book.task.head)


def _last_books(book: Book, head: Json) -> str | None:
    ledger = head["ledger"]
    theirs = amounts(ledger["spent"]), amounts(ledger["reserved"])
    if theirs != (book.spent, book.reserved):
        return f"{book.task.id} ends with {theirs}, its lines add up to {book.spent, book.reserved}"
    if book.task.outcome is not None and any(theirs[1]):
        return f"{book.task.id} is over and still reserves {theirs[1]}"
    return None


def all_that_was_burned_is_booked(case: Case) -> Checks | None:
    """Compare each subtask's booked cost with the model's own account, from below and above."""
    effects = case.evidence.effects
    return None if effects is None else _burned(case, _by_subtask(effects))


def _burned(case: Case, by_subtask: Mapping[str, Sequence[Effect]]) -> Checks:
    for subtask, effects in by_subtask.items():
        task_id, _, number = subtask.partition("/")
        book = case.books.get(task_id)
        ended = book.settled.get(int(number)) if book else None
        if ended is None:
            continue
        gone = subtask in case.evidence.vanished
        floor = clamped(_sum(map(_known, effects)), ended.allowance)
        most = _plus(_sum(map(_known, effects)), _sum(map(_loose, effects)))
        low = any(
            b < f and not (gone and bound is None)
            for b, f, bound in zip(ended.booked, floor, ended.allowance, strict=True)
        )
        high = not gone and any(b > m for b, m in zip(ended.booked, most, strict=True))
        if low or high:
            yield f"{subtask} burned {floor}, at most {most}, and was booked {ended.booked}"
        else:
            yield None


def _known(effect: Effect) -> Sum:
    """Bound from below what the meter must have recorded of a call.

    A provider that took more than the worst case is known only once its call is settled.
    """
    if effect.real is None or effect.settled:
        return effect.real or (0, 0, 0)
    tokens, usd, calls = map(min, effect.real, effect.worst)
    return tokens, usd, calls


def _loose(effect: Effect) -> Sum:
    """Bound what a call in flight may have been booked above that."""
    if effect.settled:
        return 0, 0, 0
    most = map(max, effect.worst, effect.real or effect.worst)
    tokens, usd, calls = (m - k for m, k in zip(most, _known(effect), strict=True))
    return tokens, usd, calls


def no_charge_comes_after_the_end_of_a_subtask(case: Case) -> Checks | None:
    """Look for calls booked after the claim was taken away, after the deadline, after the end."""
    effects = case.evidence.effects
    return None if effects is None else _late(case, effects)


def _late(case: Case, effects: Iterable[Effect]) -> Checks:
    since_ms = {claim.token: claim.since_ms for claim in case.evidence.claims}
    for effect in effects:
        task_id, _, number = effect.subtask.partition("/")
        book = case.books.get(task_id)
        if book is None or effect.at_ms is None or effect.real is None:
            continue
        if int(number) > len(book.sent):
            yield f"{effect.subtask} was charged and never published"
            continue
        sent, ended = book.sent[int(number) - 1], book.settled.get(int(number))
        begun_ms = since_ms.get(effect.token, effect.at_ms)
        if effect.at_ms > min(sent.deadline_ms, begun_ms + sent.timeout_ms):
            yield f"{effect.subtask} was charged after its time was over"
        elif ended is not None and effect.at_ms > ended.at_ms:
            yield f"{effect.subtask} was charged after it had ended by {ended.why}"
        else:
            yield None


# --- 7, 14: bounds -------------------------------------------------------------------------------


def no_message_is_beyond_the_hop_cap(case: Case) -> Checks:
    """Look at every message that went out."""
    for task_id, book in case.books.items():
        for sent in book.sent:
            over = sent.hop > sent.hops_max
            yield f"{task_id}/{sent.subtask}: hop {sent.hop} of {sent.hops_max}" if over else None


def a_message_is_one_hop_after_its_cause(case: Case) -> Checks:
    """Compare every message's hop with that of what caused it."""
    for task_id, book in case.books.items():
        for sent in book.sent:
            if sent.hop == sent.hop_expected:
                yield None
            else:
                yield f"{task_id}/{sent.subtask}: hop {sent.hop}, its cause says {sent.hop_expected}"


def no_task_publishes_more_subtasks_than_it_may(case: Case) -> Checks:
    """Count."""
    for task_id, book in case.books.items():
        sent, most = len(book.sent), book.task.request["subtasks_max"]
        yield f"{task_id} published {sent} of {most} subtasks" if sent > most else None


def a_step_goes_out_when_its_needs_are_there(case: Case) -> Checks:
    """Look at what was known of a step when its message went out."""
    for task_id, book in case.books.items():
        for sent in book.sent:
            yield None if sent.ready else f"{task_id}/{sent.subtask}: step {sent.step} was not ready"


def nothing_goes_out_after_the_deadline(case: Case) -> Checks:
    """Look at when every message went out."""
    for task_id, book in case.books.items():
        for sent in book.sent:
            late = sent.at_ms >= sent.deadline_ms
            yield f"{task_id}/{sent.subtask} went out after the deadline" if late else None


def a_new_plan_differs_from_every_earlier_one(case: Case) -> Checks:
    """Look at every re-plan, and count them."""
    for task_id, book in case.books.items():
        most = book.task.request["replans_max"]
        for replan in book.replans:
            if replan.repeats:
                yield f"{task_id}: re-plan {replan.number} is a plan that was in force before"
            elif replan.number > most:
                yield f"{task_id}: re-plan {replan.number} of {most}"
            else:
                yield None


# --- 8, 11: claims and messages ------------------------------------------------------------------


def a_subtask_is_run_at_most_once(case: Case) -> Checks:
    """Look at who was given each subtask, and who began to work on it."""
    claims = case.evidence.claims
    tokens = Counter(claim.token for claim in claims)
    by_subtask = defaultdict(list)
    for claim in claims:
        by_subtask[claim.subtask].append(claim)
    for subtask, given in by_subtask.items():
        if any(tokens[claim.token] > 1 for claim in given):
            yield f"{subtask}: a token was given twice"
        elif sum(claim.started for claim in given) > 1:
            yield f"{subtask} was run {sum(claim.started for claim in given)} times"
        elif not all(claim.handed_back for claim in given[:-1]):
            yield f"{subtask} was given to {len(given)} workers, and not handed back in between"
        else:
            yield None


def every_byte_pushed_was_delivered_or_is_queued(case: Case) -> Checks:
    """Balance the bytes, and the messages that were taken from queues."""
    stats, strange = case.evidence.stats, case.evidence.bytes
    put = stats.get("pushed_bytes", 0) + stats.get("handed_back_bytes", 0) + strange.injected
    taken = stats.get("fetched_bytes", 0) + strange.stolen + strange.queued
    if put:
        yield None if put == taken else f"{put} bytes were put on queues, {taken} came off or lie there"


def an_agent_is_given_what_its_needs_produced(case: Case) -> Checks | None:
    """Compare every input with who made it."""
    inputs = case.evidence.inputs
    return None if inputs is None else _given(case, inputs)


def _given(case: Case, inputs: Iterable[Any]) -> Checks:
    for given in inputs:
        task_id, _, number = given.subtask.partition("/")
        book = case.books.get(task_id)
        if book is None or int(number) > len(book.sent):
            yield f"{given.subtask} reached an agent and was never published"
            continue
        step = book.sent[int(number) - 1].step
        needs = {tuple(s["needs"]) for plan in plans(book.task.request) for s in plan if s["id"] == step}
        wrong = [n for n, by in given.made_by.items() if not _made(book, n, by)]
        if tuple(given.made_by) not in needs or wrong:
            yield f"{given.subtask} of step {step} was given {dict(given.made_by)}"
        else:
            yield None


def _made(book: Book, need: str, by: str | None) -> bool:
    return need in book.dropped if by is None else by in book.makers.get(need, set())


# --- 9: what is left -----------------------------------------------------------------------------


def an_open_task_is_never_neglected(case: Case) -> Checks:
    """Look for tasks that nothing would ever wake, and for what was left lying on the way."""
    yield from case.evidence.neglected
    for task_id, book in case.books.items():
        yield None if book.task.outcome or book.task.alarm else f"{task_id} is open, without an alarm"


def a_finished_task_leaves_nothing_behind(case: Case) -> Checks:
    """Look for mail, alarms, claims and messages of tasks that are over."""
    for task, _, _ in case.ended():
        left = {
            "an alarm": task.alarm,
            "mail": task.mail,
            "claims": task.claims,
            "messages": task.messages,
        }
        names = [name for name, there in left.items() if there]
        yield f"{task.id} is over and leaves {', '.join(names)}" if names else None


# --- 10, 15: the desk and the gate ---------------------------------------------------------------


def letters_and_causes_are_one_to_one(case: Case) -> Checks:
    """Match the letters of every task with the lines that filed and closed them."""
    filed = defaultdict(list)
    strangers = 0
    for letter in case.evidence.letters:
        if letter.fields.get("kind") in {"escalation", "poison"}:
            filed[letter.fields["task"]].append(letter)
        else:
            strangers += 1
    for task_id, book in case.books.items():
        letters = filed.pop(task_id, [])
        if len(letters) != len(book.escalated):
            yield f"{task_id}: {len(letters)} letters for {len(book.escalated)} causes"
        elif letters:
            yield _closed_as_written(book, letters)
    yield from (f"{task_id} has letters and no record" for task_id in filed)
    kept = case.evidence.stats.get("quarantined", 0) - case.evidence.stats.get("letters_not_kept", 0)
    if kept or strangers:
        yield None if kept == strangers else f"{kept} messages set aside, {strangers} letters"


def _closed_as_written(book: Book, letters: Sequence[Any]) -> str | None:
    verbs = sorted(f"{m.fields['verb']} by {m.fields['by']}" for m in letters if m.fields.get("verb"))
    lines = sorted(line["text"].split(": ")[0] for line in book.decided)
    if verbs != lines:
        return f"{book.task.id}: letters were closed by {verbs}, its journal says {lines}"
    still_open = len(letters) - len(verbs)
    if still_open != (0 if book.task.outcome else int(_on_desk(book))):
        return f"{book.task.id} has {still_open} open letters"
    return None


def _on_desk(book: Book) -> bool:
    return book.task.head is not None and book.task.head["letter"] is not None


def every_letter_says_why_whence_and_when(case: Case) -> Checks:
    """Look at what a person needs of each letter."""
    for letter in case.evidence.letters:
        fields = letter.fields
        origin = fields.get("story") if fields.get("kind") in {"escalation", "poison"} else fields.get("bytes")
        whence = fields.get("task") or fields.get("queue")
        if not (fields.get("why") and whence and fields.get("filed_ms") and origin):
            yield f"letter {letter.id} is incomplete: {sorted(fields)}"
        elif letter.listed != (fields.get("state") == "open"):
            yield f"letter {letter.id} is {fields.get('state')} and {'' if letter.listed else 'not '}listed"
        elif fields.get("state") != "open" and not (fields.get("by") and fields.get("decided_ms")):
            yield f"letter {letter.id} left the desk without a recorded act"
        else:
            yield None


def nothing_below_the_bar_leaves_without_a_person(case: Case) -> Checks:
    """Put every delivered result through a gate of our own."""
    for task, _, head in case.ended():
        if task.outcome == "aborted" or head["stop_reason"].startswith(("decided", "nobody")):
            continue
        wanted, schema = task.request["confidence_min"], task.request["result_schema"]
        if head["result"] is None or head["confidence"] < wanted:
            yield f"{task.id} delivered at confidence {head['confidence']}, the bar is {wanted}"
        elif schema and not Draft202012Validator(schema).is_valid(json.loads(head["result"])):
            yield f"{task.id} delivered what breaks its schema"
        else:
            yield None


def a_completed_task_is_whole(case: Case) -> Checks:
    """Look for tasks called completed with steps neither done nor dropped."""
    for task, book, head in case.ended():
        if task.outcome == "completed" and not head["stop_reason"].startswith("decided: amend"):
            left = [name for name, state in book.states().items() if state not in {"done", "dropped", "reopened"}]
            yield f"{task.id} is completed and {left} are not done" if left else None


def a_cancelled_task_goes_no_further(case: Case) -> Checks | None:
    """Look at the tasks whose caller wished to stop before the end."""
    cancelled = case.evidence.cancelled
    return None if cancelled is None else _stopped(case, cancelled)


def _stopped(case: Case, cancelled: Mapping[str, int]) -> Checks:
    for task, book, head in case.ended():
        asked_ms = cancelled.get(task.id)
        ended_ms = book.concluded[0]["at_ms"] if book.concluded else 0
        if head["stop_reason"] == "cancelled" and asked_ms is None:
            yield f"{task.id} was stopped, and nobody had asked for it"
        elif asked_ms is not None and asked_ms < ended_ms:
            late = [sent.subtask for sent in book.sent if sent.at_ms > asked_ms]
            if task.outcome != "aborted" or late:
                yield f"{task.id} went on to {task.outcome}, with subtasks {late}"
            else:
                yield None


# --- 12: repeating oneself -----------------------------------------------------------------------


def a_repeated_call_answers_the_same_and_changes_nothing(case: Case) -> Checks | None:
    """Look at every call whose reply was lost."""
    retries = case.evidence.retries
    if retries is None:
        return None
    return (
        None if r.same_answer and r.changed_nothing else f"{r.call}: sent twice, it was not as once"
        for r in retries
    )


PREDICATES: Final[tuple[tuple[int, Predicate], ...]] = (
    (1, every_acknowledged_task_has_exactly_one_outcome),
    (2, nothing_is_lost_and_nothing_unexpected),
    (3, spent_and_reserved_never_exceed_the_ceiling),
    (3, the_ending_is_kept_back_from_subtasks),
    (4, spent_is_the_sum_of_settlements),
    (5, all_that_was_burned_is_booked),
    (6, no_charge_comes_after_the_end_of_a_subtask),
    (6, nothing_goes_out_after_the_deadline),
    (7, no_message_is_beyond_the_hop_cap),
    (7, a_message_is_one_hop_after_its_cause),
    (7, no_task_publishes_more_subtasks_than_it_may),
    (7, a_step_goes_out_when_its_needs_are_there),
    (7, an_agent_is_given_what_its_needs_produced),
    (8, a_subtask_is_run_at_most_once),
    (9, an_open_task_is_never_neglected),
    (9, a_finished_task_leaves_nothing_behind),
    (10, letters_and_causes_are_one_to_one),
    (10, every_letter_says_why_whence_and_when),
    (11, every_byte_pushed_was_delivered_or_is_queued),
    (12, a_repeated_call_answers_the_same_and_changes_nothing),
    (13, final_is_final),
    (13, every_decision_can_be_made),
    (13, a_wake_without_news_changes_nothing),
    (13, a_cancelled_task_goes_no_further),
    (14, a_new_plan_differs_from_every_earlier_one),
    (15, nothing_below_the_bar_leaves_without_a_person),
    (15, a_completed_task_is_whole),
)
"""By the number of the invariant in PROMISES.md."""


def _by_subtask(effects: Iterable[Effect]) -> Mapping[str, Sequence[Effect]]:
    found: dict[str, list[Effect]] = defaultdict(list)
    for effect in effects:
        found[effect.subtask].append(effect)
    return found


def _sum(sums: Iterable[Sum]) -> Sum:
    total: Sum = (0, 0, 0)
    for each in sums:
        total = _plus(total, each)
    return total


def _plus(a: Sum, b: Sum) -> Sum:
    return a[0] + b[0], a[1] + b[1], a[2] + b[2]
