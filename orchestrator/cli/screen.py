"""How tasks look in a terminal. Pure: from what the client returned to something rich can draw."""

import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.table import Column, Table
from rich.text import Text

from envelopes import Ledger
from envelopes.limits import MICROS_PER_USD
from orchestrator.calibration import Calibration
from orchestrator.client import Result, Story
from orchestrator.clock import moment
from orchestrator.core.task import StepPhase
from orchestrator.view import AgentView, State, TaskView

STYLES: Mapping[str, str] = {
    State.COMPLETED: "bold green",
    State.PARTIAL: "bold yellow",
    State.ABORTED: "bold red",
    State.ON_DESK: "bold magenta",
    State.WORKING: "cyan",
    StepPhase.DONE: "green",
    StepPhase.OPEN: "cyan",
    StepPhase.BROKEN: "red",
    StepPhase.DROPPED: "yellow",
}
SHORT_ID = 8
"""Characters of a task's id that are shown and, almost always, enough to name it."""
_STEPS_SHOWN = 20
_GOAL_CHARS = 60
_BAR_CHARS = 20
_PIPED_COLUMNS = 160
"""Where no terminal bounds a line: tables that somebody greps should not be folded at 80."""


def console() -> Console:
    """Return what stdout is drawn on: as wide as the terminal, or wide where there is none."""
    drawn = Console()
    if drawn.is_terminal or "COLUMNS" in os.environ:
        return drawn
    return Console(width=_PIPED_COLUMNS)


def styled(word: str) -> Text:
    """Return a state in its colour."""
    return Text(word, style=STYLES.get(word, ""))


def progress(task: TaskView) -> RenderableType:
    """Draw a task that goes on: state, hops, spend against ceiling, steps."""
    lines: list[RenderableType] = [Text.assemble(f"{task.id[:SHORT_ID]}  ", _headline(task))]
    lines += [Text(f"  {text}") for text in _spend_bars(task.ledger)]
    lines.append(_steps(task))
    return Group(*lines)


def one_line(task: TaskView) -> str:
    """Say the same on one line, for a log."""
    spend = "; ".join(_spend(task.ledger)) or "nothing spent"
    return f"{task.id[:SHORT_ID]}  {_headline(task).plain}; {spend}"


def ending(result: Result) -> RenderableType:
    """Draw how a task ended."""
    lines: list[RenderableType] = [
        Text.assemble(result.task, "  ", styled(result.outcome), f"  {result.stop_reason or ''}")
    ]
    lines += [Text(f"  {text}") for text in _spend(result.ledger)]
    if result.confidence is not None:
        lines.append(Text(f"  confidence {result.confidence:.2f}"))
    if result.outcome is not State.COMPLETED:
        lines.append(Text(f"  why: buckstop show {result.task[:SHORT_ID]}"))
    if result.result is not None:
        lines.append(Text(_pretty(result.result)))
    return Group(*lines)


def story(told: Story, waits: Sequence[str] = ()) -> RenderableType:
    """Draw a task with its history, and what it waits for."""
    task = told.task
    lines: list[RenderableType] = [
        Text.assemble(task.id, "  ", styled(task.state), f"  {task.stop_reason or ''}"),
        Text(f"  goal      {_short(task.goal, 400)}"),
        Text(f"  accepted  {moment(task.accepted_ms)}, deadline {moment(task.deadline_ms)}"),
        Text(
            f"  hops      {task.hop} of {task.hops_max}; subtasks {task.subtasks} of "
            f"{task.subtasks_max}; re-plans {task.replans}"
        ),
    ]
    if task.cell is not None:
        lines.append(Text(f"  cell      {task.cell}"))
    lines += [Text(f"  {text}") for text in _ledger(task.ledger)]
    lines += [Text(f"  waits     {each}") for each in waits]
    lines += [Text(), _steps(task, every=True), Text(), timeline(told.journal, task.accepted_ms)]
    if task.result is not None:
        lines += [Text(f"\nresult, confidence {task.confidence}:"), Text(_pretty(task.result))]
    return Group(*lines)


def timeline(journal: Iterable[Mapping[str, Any]], start_ms: int) -> Table:
    """Draw every decision: when, at which hop, who, with what envelope, and why."""
    table = Table("at", "hop", "why", "agent/subtask", _folded("what"), box=None)
    for note in journal:
        table.add_row(
            f"+{(note.get('at_ms', start_ms) - start_ms) / 1000:.3f}s",
            _some(note.get("hop")),
            str(note.get("why", "")),
            "/".join(str(note[name]) for name in ("agent", "subtask") if note.get(name)),
            Text(_short(_said(note), 400)),
        )
    return table


def task_table(tasks: Sequence[TaskView]) -> Table:
    """List tasks; where there are several cells, also in which each is."""
    cells = any(task.cell for task in tasks)
    table = Table(
        *(_whole("task"), *(("cell",) if cells else ()), "state"),
        "hop",
        "steps",
        "spent",
        _whole("accepted"),
        "goal",
        box=None,
    )
    for task in tasks:
        table.add_row(
            task.id[:SHORT_ID],
            *((task.cell,) if cells else ()),
            styled(task.state),
            f"{task.hop}/{task.hops_max}",
            f"{task.count(StepPhase.DONE)}/{len(task.steps)}",
            "; ".join(_spend(task.ledger)),
            _short_moment(task.accepted_ms),
            Text(_short(task.goal, _GOAL_CHARS)),
        )
    return table


def agent_table(agents: Sequence[AgentView]) -> Table:
    """List agents."""
    table = Table(
        _whole("agent"),
        *("workers", "skills", "may hand over to", "waiting", "in flight", "breaker"),
        box=None,
    )
    for one in agents:
        most = "" if one.cap is None else f" of {one.cap}"
        table.add_row(
            one.name,
            str(one.workers) if one.workers else Text("none", style="red"),
            ", ".join(one.skills),
            ", ".join(one.handoffs),
            str(one.waiting),
            f"{one.in_flight}{most}",
            _breaker(one),
        )
    return table


def _breaker(one: AgentView) -> Text:
    if not one.breaker_open:
        return Text("closed", style="green")
    if one.probing:
        return Text("half open: one message probes", style="yellow")
    return Text(f"open; one message may probe from {moment(one.opens_ms)}", style="red")


def tenant_table(tenants: Mapping[str, Mapping[str, int]]) -> Table:
    """List tenants."""
    table = Table("tenant", "at work", "waiting", box=None)
    for name, one in sorted(tenants.items()):
        table.add_row(name, f"{one['at_work']} of {one['cap']}", str(one["waiting"]))
    return table


def calibration_table(agents: Sequence[Calibration], precision: float) -> Table:
    """List what agents' confidence is worth."""
    table = Table("agent", "judged", "claimed", "confirmed", f"bar for {precision:g}", box=None)
    for one in agents:
        bar = "none" if one.threshold is None else f"{one.threshold:.2f} ({one.kept} above it)"
        table.add_row(one.agent, str(one.judged), f"{one.claimed:.2f}", f"{one.confirmed:.2f}", bar)
    return table


def _headline(task: TaskView) -> Text:
    done = task.count(StepPhase.DONE, StepPhase.DROPPED)
    return Text.assemble(
        styled(task.state),
        f"  hop {task.hop}/{task.hops_max}",
        f"  steps {done}/{len(task.steps)}, {task.count(StepPhase.OPEN)} at work",
        f"  {task.stop_reason}" if task.stop_reason else "",
        f"  waits for a person: buckstop letters show {task.letter}" if task.letter else "",
    )


def _steps(task: TaskView, *, every: bool = False) -> Table:
    """List steps; of many, those that somebody might act on come first."""
    urgent = (StepPhase.BROKEN, StepPhase.ASKING, StepPhase.OPEN, StepPhase.WAITING)
    shown = sorted(task.steps, key=lambda s: urgent.index(s.phase) if s.phase in urgent else 9)
    shown = list(task.steps) if every or len(shown) <= _STEPS_SHOWN else shown[:_STEPS_SHOWN]
    table = Table("step", "phase", "agent", "try", "hop", "confidence", "reason", box=None)
    for step in shown:
        confidence = "" if step.confidence is None else f"{step.confidence:.2f}"
        reason = Text(_short(step.reason or "", 200))
        hop, tries = _some(step.hop or None), _some(step.attempt or None)
        table.add_row(step.id, styled(step.phase), step.agent, tries, hop, confidence, reason)
    if len(shown) < len(task.steps):
        table.add_row(f"… {len(task.steps) - len(shown)} more")
    return table


def _dimensions(ledger: Ledger) -> Iterator[tuple[str, int, int, int, int]]:
    """Yield unit, ceiling, spent, reserved and ending of each dimension that is bounded."""
    for name in ("tokens", "usd_micros", "calls"):
        if (ceiling := getattr(ledger.ceiling, name)) is not None:
            parts = (getattr(part, name) for part in (ledger.spent, ledger.reserved, ledger.ending))
            spent, reserved, ending_ = parts
            yield name, ceiling, spent, reserved, ending_


def _spend(ledger: Ledger) -> list[str]:
    return [
        f"{_figure(n, spent)} of {_unit(n, most)}" for n, most, spent, *_ in _dimensions(ledger)
    ]


def _spend_bars(ledger: Ledger) -> list[str]:
    """Draw what is spent (█) and promised to open subtasks (▒) of each ceiling."""
    bars = []
    for name, ceiling, spent, reserved, _ in _dimensions(ledger):
        full = round(_BAR_CHARS * spent / ceiling) if ceiling else 0
        half = round(_BAR_CHARS * reserved / ceiling) if ceiling else 0
        bar = ("█" * full + "▒" * half)[:_BAR_CHARS].ljust(_BAR_CHARS, "·")
        bars.append(f"{bar} {_figure(name, spent)} of {_unit(name, ceiling)}")
    return bars


def _ledger(ledger: Ledger) -> list[str]:
    return [
        f"{'ledger' if first else '':9} {_figure(n, spent)} of {_unit(n, most)} spent, "
        f"{_figure(n, reserved)} reserved, {_figure(n, ending_)} kept for the ending"
        for first, (n, most, spent, reserved, ending_) in _numbered(_dimensions(ledger))
    ]


def _numbered(rows: Iterator[Any]) -> Iterator[tuple[bool, Any]]:
    return ((number == 0, row) for number, row in enumerate(rows))


def _figure(name: str, amount: int) -> str:
    return f"${amount / MICROS_PER_USD:.6f}" if name == "usd_micros" else f"{amount:,}"


def _unit(name: str, amount: int) -> str:
    if name == "usd_micros":
        return _figure(name, amount)
    return f"{_figure(name, amount)} {name.removesuffix('s') if amount == 1 else name}"


def _amounts(charged: Mapping[str, int] | None) -> str:
    if not charged:
        return ""
    return ", ".join(_unit(name, amount) for name, amount in charged.items() if amount)


def _said(note: Mapping[str, Any]) -> str:
    """Put an envelope, what it cost and the words of a note on one line."""
    sure, text = note.get("confidence"), str(note.get("text", ""))
    shown = "" if sure is None else f"{sure:.2f}"
    if not note.get("status"):
        return f"{text} (confidence {shown})" if shown else text
    envelope = f"{note['status']} {shown}".rstrip()
    cost = _amounts(note.get("charged"))
    return ": ".join(part for part in (f"{envelope}, {cost}" if cost else envelope, text) if part)


def _whole(title: str) -> Column:
    """Head a column that is copied from, so it is never cut."""
    return Column(title, no_wrap=True)


def _folded(title: str) -> Column:
    """Head a column of sentences; a word that is too long is broken, not cut."""
    return Column(title, overflow="fold")


def _short_moment(at_ms: int) -> str:
    """Leave the year out, where columns are dear."""
    return moment(at_ms).partition("-")[2]


def _some(value: object) -> str:
    return "" if value is None else str(value)


def _short(text: str, chars: int) -> str:
    plain = " ".join(text.split())
    return plain if len(plain) <= chars else plain[: chars - 1] + "…"


def _pretty(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, indent=2, ensure_ascii=False)
