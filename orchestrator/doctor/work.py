"""Tasks and letters: what is late, and what is promised of them.

The promises are those of docs/PROMISES.md that a look at one moment can show, on a sample of each
stage. What looks broken is looked at again: only what is still the same then is told.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from envelopes.limits import DOCTOR_CLAIMS, DOCTOR_LATE_MS, DOCTOR_SAMPLE
from orchestrator import checks
from orchestrator.checks import Finding, Verdict
from orchestrator.doctor.deployment import Deployment, some
from orchestrator.wanted import Stage, TasksWanted

_DIMENSIONS: Final = ("tokens", "usd_micros", "calls")


def desk(d: Deployment) -> Iterator[Finding]:
    """See how full the desk is."""
    yield checks.desk(d.store.count_letters())


def alarms(d: Deployment) -> Iterator[Finding]:
    """Find tasks that should have been looked at and were not."""
    late = int(d.client.zcount(d.keys.due, "-inf", d.now_ms - DOCTOR_LATE_MS))
    if late:
        first = d.client.zrange(d.keys.due, 0, 0)[0].decode()
        yield Finding(
            "alarms",
            Verdict.FAULT,
            f"overdue for {DOCTOR_LATE_MS // 1000} s or more: {some(late, 'task')}, {first} first",
            "see the logs of the orchestrators for it; start more of them: buckstop serve",
        )
    else:
        yield Finding("alarms", Verdict.GOOD, "no alarm is late")


def letters(d: Deployment) -> Iterator[Finding]:
    """Find letters whose declared default should have been applied, and was not."""
    until_ms = d.now_ms - 2 * DOCTOR_LATE_MS
    late = [
        name.decode()
        for key in (d.keys.letters_due, d.keys.discards)
        for name in d.client.zrangebyscore(key, "-inf", until_ms, 0, DOCTOR_SAMPLE)
    ]
    if late:
        yield Finding(
            "letters",
            Verdict.FAULT,
            f"past their due time, and the default was not applied: {some(len(late), 'letter')} or "
            f"more, {late[0]} among them",
            "see whether orchestrators run and what they log; decide by hand: buckstop letters",
        )
    else:
        yield Finding("letters", Verdict.GOOD, "no letter is past its due time")


def promises(d: Deployment) -> Iterator[Finding]:
    """Hold what is promised of every task against a sample."""
    seen = _sampled(d)
    suspects = {task: broken for task in seen if (broken := _broken(d, task))}
    sure = {task: why for task, why in suspects.items() if _broken(d, task) == why}
    for task, why in sorted(sure.items()):
        yield Finding(
            "promises",
            Verdict.FAULT,
            f"task {task}: {why}. This is a fault of Buckstop, or somebody wrote to its keys",
            f"keep what buckstop show {task} --json says, and report it",
        )
    if not sure:
        yield Finding(
            "promises", Verdict.GOOD, f"they hold, on a sample of {some(len(seen), 'task')}"
        )


def _sampled(d: Deployment) -> list[str]:
    found = [d.store.find_tasks(TasksWanted(stage), DOCTOR_SAMPLE) for stage in Stage]
    return [place.id for places in found for place in places]


@dataclass(frozen=True, slots=True)
class _Seen:
    """One task, and what else belongs to it, as of one moment."""

    over: bool
    head: Mapping[str, Any]
    alarm: bool
    mail: int


def _see(d: Deployment, task: str) -> _Seen | None:
    with d.client.pipeline(transaction=True) as pipe:
        pipe.hmget(d.keys.task(task), "version", "outcome", "head")
        pipe.zscore(d.keys.due, task)
        pipe.llen(d.keys.mail(task))
        (version, outcome, head), alarm, mail = pipe.execute()
    if version is None:
        return None  # it has expired
    return _Seen(outcome is not None, json.loads(head or b"{}"), alarm is not None, int(mail))


def _broken(d: Deployment, task: str) -> str:
    """Say what is wrong with a task; nothing where all is well."""
    seen = _see(d, task)
    if seen is None:
        return ""
    return (_left_behind(d, task, seen) if seen.over else _neglected(d, seen)) or _overspent(seen)


def _neglected(d: Deployment, seen: _Seen) -> str:
    """Unfinished: it has an alarm, or an open letter."""
    letter = (seen.head.get("letter") or {}).get("id")
    if seen.alarm or (letter and d.client.zscore(d.keys.letters, letter) is not None):
        return ""
    return "it is not over, and has neither an alarm nor an open letter"


def _left_behind(d: Deployment, task: str, seen: _Seen) -> str:
    """Finished: it has neither mail, alarm nor claim."""
    published = min(int(seen.head.get("subtasks", 0)), DOCTOR_CLAIMS)
    claims = [d.keys.claim(f"{task}/{number}") for number in range(1, published + 1)]
    left = {
        "an alarm": seen.alarm,
        "mail": seen.mail,
        "a claim": claims and d.client.exists(*claims),
    }
    named = [what for what, there in left.items() if there]
    return f"it is over, and has {' and '.join(named)}" if named else ""


def _overspent(seen: _Seen) -> str:
    """Spent and reserved never exceed the ceiling; nothing is reserved in the end."""
    ledger = seen.head.get("ledger")
    if ledger is None:
        return ""
    for name in _DIMENSIONS:
        ceiling, spent, reserved = _figures(ledger, name)
        if spent < 0 or reserved < 0 or (ceiling is not None and spent + reserved > ceiling):
            return f"{name}: {spent} spent and {reserved} reserved of {ceiling}"
        if seen.over and reserved:
            return f"{name}: it is over, and {reserved} are still reserved"
    return ""


def _figures(ledger: Mapping[str, Any], name: str) -> Sequence[Any]:
    return [ledger[part].get(name) for part in ("ceiling", "spent", "reserved")]
