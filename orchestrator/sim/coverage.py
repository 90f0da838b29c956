"""Which rules and reasons a run has exercised.

A simulation that never reached a rule proves nothing about it. The rules are read from the core's
own list; the reasons stand here, and a test compares them with the core's text
(tests/test_simulation.py), so that a new one cannot be forgotten.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Final
from unittest.mock import patch

from orchestrator.core import decide
from orchestrator.core.commands import Look
from orchestrator.core.turn import Turn
from orchestrator.sim.evidence import Evidence, Json, TaskEvidence

NOTES: Final = (
    *("envelope", "late_envelope", "late_decision", "refused_decision"),
    "stop_asked",
    *("lost", "poison", "step_timeout", "unclaimed", "revoked"),
    *("publish", "payload_too_large", "repeats"),
    *("next_agent", "next_plan", "handoff", "handoff_refused", "dropped"),
    *("conclude", "escalate", "below_the_bar", "decided", "granted"),
    *("ask", "planned", "plan_refused", "delegated", "replanned", "round_refused"),
    *("satisfied", "not_yet", "given_up", "refused", "unstuck", "verdict", "last_word"),
    *("rerouted", "no_such_skill", "answered"),
)
"""What a line of the journal can be about."""
CAPS: Final = (
    *("deadline", "gate", "hop_cap", "subtask_cap", "replan_cap", "repetition", "budget"),
    *("no_plan_left", "plan_exhausted", "same_answer", "stalled", "ping_pong"),
)
"""Why the owner had to judge."""
ENDS: Final = (
    *("plan_done", "confidence", "spent", "elapsed", "cancelled", "nobody_decided"),
    *("decided: approve", "decided: amend", "decided: abort"),
    *("rounds", "stalled", "result_matches", "custom"),
)
"""Why a task has ended, apart from caps."""
STALLED_ALONE: Final = "stalled by answers alone"
SENT_AGAIN: Final = ("lost", "unclaimed")
"""After what a step goes out once more as it was."""
FAULTS: Final = ("raised", "contract", "budget", "stopped")
"""Why an envelope was made for an agent instead of by it."""


@contextmanager
def fired_rules(fired: Counter[str]) -> Iterator[None]:
    """Count which rules apply, while the block lasts."""
    every, smooth = (
        tuple(_counted(rule, fired) for rule in rules) for rules in (decide.RULES, decide.SMOOTH)
    )
    with patch.multiple(decide, RULES=every, SMOOTH=smooth):
        yield


def _counted(rule: decide.Rule, fired: Counter[str]) -> decide.Rule:
    def counted(turn: Turn) -> decide.Ruling | Look:
        ruling = rule(turn)
        if ruling is not decide.Ruling.PASS:
            fired[f"rule {rule.__name__}"] += 1
        return ruling

    return counted


def reasons(evidence: Evidence) -> Counter[str]:
    """Count every reason that a run gave for anything."""
    found: Counter[str] = Counter()
    for task in evidence.tasks.values():
        found.update(f"why {line['why']}" for line in task.journal)
        found.update(f"fault {line['fault']}" for line in task.journal)
        found.update(_sent_again(task.journal))
        if task.head is not None and task.head["stop_reason"] is not None:
            found.update(_ends(task.head["stop_reason"]))
            found.update(_by_answers(task))
    return found


def _sent_again(journal: Iterable[Json]) -> Iterator[str]:
    """Name what was followed by the same step going out once more at the same hop."""
    before: dict[str, Json] = {}
    for line in journal:
        last = before.get(line["step"])
        if line["why"] == "publish" and last is not None and last["hop"] == line["hop"]:
            yield f"again after {last['why']}"
        before[line["step"]] = line


def _by_answers(task: TaskEvidence) -> Iterator[str]:
    """Name a stall that answers alone have led to: refused plans and rounds count as stalls too."""
    alone = not (task.request.get("planner") or task.request.get("manager"))
    if alone and task.head is not None and task.head["stop_reason"] == "stalled":
        yield STALLED_ALONE


def _ends(stop_reason: str) -> Iterable[str]:
    for part in stop_reason.split(" & "):
        yield f"end {part.split('>=')[0].split(' by ')[0].split('custom:')[0] or 'custom'}"


def never_fired(fired: Counter[str]) -> list[str]:
    """Name what a run never reached."""
    wanted = [f"rule {rule.__name__}" for rule in decide.RULES]
    wanted += [f"why {name}" for name in (*NOTES, *CAPS)]
    wanted += [f"end {name}" for name in (*ENDS, *CAPS)]
    wanted += [f"fault {name}" for name in FAULTS]
    wanted.append(STALLED_ALONE)
    wanted += [f"again after {name}" for name in SENT_AGAIN]
    return [name for name in wanted if not fired[name]]
