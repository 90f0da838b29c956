"""Tell OpenTelemetry what was decided, once it is committed.

    buckstop.decide    one decision that says something in the journal; links to what it settled
    buckstop.subtask   from published to settled, its queue's wait included; written by whoever
                       settles it, so a subtask whose worker was killed has a span as well
    buckstop.desk      from a letter filed to it decided, by a person or by its default
    buckstop.task      from accepted to ended

Of two orchestrators that decide the same task at once one commits, so there is one span. No goal,
payload, result or reason is told: only who, where, by which rule, and how it ended.
"""

import logging
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from opentelemetry import metrics
from opentelemetry.trace import SpanKind

from envelopes import limits
from envelopes.exports import SCOPE, Exports
from envelopes.trace import Place
from orchestrator.core.commands import CloseLetter, Conclude, Note, Publish, Served, Settle
from orchestrator.core.task import StepState, Task
from orchestrator.telemetry import Committed, Silent
from orchestrator.telemetry_spans import NS_PER_MS, Spans, Told

log = logging.getLogger("buckstop.telemetry")

_ENDS: Final = {"envelope", "lost", "poison", "step_timeout", "unclaimed", "revoked"}
"""Rules whose note says how a subtask ended."""
_NOT_RUN: Final = {"unclaimed", "revoked"}
"""Outcomes of which no figure names the agent: it may be any name that a caller made up."""


@dataclass(frozen=True, slots=True)
class _Settled:
    """One subtask that is over."""

    subtask: int
    agent: str
    step: StepState
    published_ms: int
    outcome: str
    """The envelope's status, or the rule that took the subtask away."""
    error: str | None
    settle: Settle


class Traces(Silent):
    """Tells OpenTelemetry."""

    def __init__(self, exports: Exports) -> None:
        self._spans = Spans(exports)
        meter = metrics.get_meter(SCOPE)
        self._task_s = meter.create_histogram(
            "buckstop.task.duration", "s", "From accepted to ended, by outcome."
        )
        self._subtask_s = meter.create_histogram(
            "buckstop.subtask.duration", "s", "From published to settled, by agent and outcome."
        )
        self._rules = meter.create_counter(
            "buckstop.decisions", "{decision}", "Decisions, by each rule that had a part in them."
        )

    def traceparent(self, task: Task, subtask: int) -> str:
        """Return the context in which a worker runs a subtask."""
        return self._spans.place(task, "subtask", subtask).traceparent

    def tell(self, committed: Committed) -> None:
        """Write the spans and figures of one decision; what goes wrong here stops no task."""
        if not committed.decision.notes:
            return
        try:
            self._tell(committed)
        except Exception:
            log.exception("a decision is not traced", extra={"task": committed.before.id})

    def _tell(self, committed: Committed) -> None:
        settled = list(_settled(committed))
        self._count(committed, settled)
        if not self._spans.place(committed.before, "task").sampled:
            return
        for each in settled:
            self._spans.write(self._subtask(committed, each))
        for close in _of(committed, CloseLetter):
            self._spans.write(self._desk(committed, close))
        self._spans.write(self._decision(committed, settled))
        for conclude in _of(committed, Conclude):
            self._spans.write(self._task(committed, conclude))

    def _count(self, committed: Committed, settled: Sequence[_Settled]) -> None:
        for why in {note.why for note in committed.decision.notes}:
            self._rules.add(1, {"buckstop.why": why})
        for each in settled:
            agent = "" if each.outcome in _NOT_RUN else each.agent
            told = {"buckstop.agent": agent, "buckstop.outcome": each.outcome}
            self._subtask_s.record((committed.now_ms - each.published_ms) / 1000, told)
        for conclude in _of(committed, Conclude):
            took_s = (committed.now_ms - committed.before.accepted_ms) / 1000
            self._task_s.record(took_s, {"buckstop.outcome": conclude.outcome})

    # --- what each span tells --------------------------------------------------------------------

    def _decision(self, committed: Committed, settled: Sequence[_Settled]) -> Told:
        """What was published in it names it as its parent, by the moment of its publication."""
        task, notes = committed.decision.task, committed.decision.notes
        named = any(_of(committed, Publish))
        links = [self._spans.place(task, "subtask", each.subtask) for each in settled]
        return Told(
            name="buckstop.decide",
            parent=self._spans.place(task, "task"),
            place=self._spans.place(task, "decide", committed.now_ms) if named else None,
            begun_ns=committed.began_ns,
            over_ns=time.time_ns(),
            attributes={
                **_about(task),
                "buckstop.why": list(dict.fromkeys(n.why for n in notes))[: limits.TRACE_WHYS_MAX],
                "buckstop.hop": task.hop,
            },
            links=links[: limits.TRACE_LINKS_MAX],
        )

    def _subtask(self, committed: Committed, each: _Settled) -> Told:
        task, step = committed.decision.task, each.step
        return Told(
            name="buckstop.subtask",
            parent=self._spans.place(task, "decide", each.published_ms),
            place=self._spans.place(task, "subtask", each.subtask),
            begun_ns=each.published_ms * NS_PER_MS,
            over_ns=committed.now_ms * NS_PER_MS,
            attributes={
                **_about(task),
                "buckstop.subtask": f"{task.id}/{each.subtask}",
                "buckstop.agent": each.agent,
                "buckstop.step": step.plan.id,
                "buckstop.hop": step.hop,
                "buckstop.attempt": step.attempt,
                "buckstop.outcome": each.outcome,
                **_amounts("booked", each.settle.booked),
            },
            kind=SpanKind.PRODUCER,
            error=each.error,
        )

    def _desk(self, committed: Committed, close: CloseLetter) -> Told:
        task, letter = committed.decision.task, committed.before.letter
        assert letter is not None, "only a letter that was filed before can be closed"
        return Told(
            name="buckstop.desk",
            parent=self._spans.place(task, "task"),
            place=self._spans.place(task, "desk", letter.id),
            begun_ns=letter.filed_ms * NS_PER_MS,
            over_ns=committed.now_ms * NS_PER_MS,
            attributes={
                **_about(task),
                "buckstop.letter": letter.id,
                "buckstop.why": [_rule(letter.why)],
                "buckstop.decision": close.verb,
            },
        )

    def _task(self, committed: Committed, conclude: Conclude) -> Told:
        task = committed.decision.task
        return Told(
            name="buckstop.task",
            parent=Place.read(task.terms.traceparent),
            place=self._spans.place(task, "task"),
            begun_ns=task.accepted_ms * NS_PER_MS,
            over_ns=committed.now_ms * NS_PER_MS,
            attributes={
                **_about(task),
                "buckstop.outcome": conclude.outcome,
                "buckstop.stop_reason": _rule(task.stop_reason or ""),
                "buckstop.hop": task.hop,
                "buckstop.subtasks": task.subtasks,
                **_amounts("spent", task.ledger.spent),
            },
            error=conclude.outcome if conclude.outcome == "aborted" else None,
        )


def _settled(committed: Committed) -> Iterator[_Settled]:
    settles = list(_of(committed, Settle))
    if not settles:
        return
    steps = {step.open.subtask: step for step in committed.before.steps if step.open is not None}
    notes = {note.subtask: note for note in committed.decision.notes if note.why in _ENDS}
    for settle in settles:
        step, number = steps.get(settle.subtask), settle.subtask
        if step is not None and step.open is not None:
            ended = _ended(settle, notes.get(number))
            yield _Settled(number, settle.agent, step, step.open.published_ms, *ended, settle)


def _ended(settle: Settle, note: Note | None) -> tuple[str, str | None]:
    """Say how a subtask ended, and what kind of error that was, if it was one."""
    if note is None:
        return "revoked", None
    outcome = note.status or note.why
    if outcome == "failed":
        return outcome, note.fault or outcome
    return outcome, outcome if settle.served is Served.FAULT else None


def _rule(why: str) -> str:
    """Return the rule's name alone: what follows it may say who, and in their own words."""
    return why.partition(":")[0]


def _about(task: Task) -> dict[str, Any]:
    return {"buckstop.task": task.id, "buckstop.tenant": task.terms.tenant}


def _amounts(what: str, amounts: Any) -> dict[str, int]:
    names = ("tokens", "usd_micros", "calls")
    return {f"buckstop.{what}.{name}": getattr(amounts, name) for name in names}


def _of(committed: Committed, kind: type[Any]) -> Iterator[Any]:
    return (each for each in committed.decision.commands if isinstance(each, kind))
