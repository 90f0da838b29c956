"""Which moves a task and a step can make, as data.

The diagram in ARCHITECTURE.md is generated from these tables (tests/test_architecture.py), and no
step or task can make a move that does not stand here (turn.py). To allow a new move, add it here
first, with its cause.
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import Final, TypeVar

from orchestrator.core.task import Phase, StepPhase

STEP_MOVES: Final[Mapping[tuple[StepPhase, StepPhase], str]] = {
    (StepPhase.WAITING, StepPhase.OPEN): "published",
    (StepPhase.WAITING, StepPhase.BROKEN): "message too large, nobody has the skill",
    (StepPhase.OPEN, StepPhase.DONE): "success",
    (StepPhase.OPEN, StepPhase.BROKEN): "failed, partial, late, poison",
    (StepPhase.OPEN, StepPhase.ASKING): "asks for something",
    (StepPhase.OPEN, StepPhase.WAITING): "lost or revoked",
    (StepPhase.ASKING, StepPhase.WAITING): "handed over, or answered",
    (StepPhase.ASKING, StepPhase.BROKEN): "handoff not allowed",
    (StepPhase.BROKEN, StepPhase.WAITING): "next agent, or a person's retry",
    (StepPhase.BROKEN, StepPhase.DROPPED): "optional, or given up in its round",
    (StepPhase.DONE, StepPhase.BROKEN): "refused by the gate",
    (StepPhase.DONE, StepPhase.WAITING): "a person's retry of a result below the bar",
}

TASK_MOVES: Final[Mapping[tuple[Phase, Phase], str]] = {
    (Phase.WORKING, Phase.ON_DESK): "escalated",
    (Phase.WORKING, Phase.DONE): "concluded",
    (Phase.ON_DESK, Phase.WORKING): "a person's retry",
    (Phase.ON_DESK, Phase.DONE): "decided, cancelled, or nobody decided",
}


Standing = TypeVar("Standing", bound=StrEnum)


def diagram(moves: Mapping[tuple[Standing, Standing], str], first: Standing) -> str:
    """Draw a table of moves as a Mermaid state diagram."""
    lines = [f"    {a.value} --> {b.value}: {why}" for (a, b), why in moves.items()]
    return "\n".join(["stateDiagram-v2", f"    [*] --> {first.value}", *lines])


def main() -> None:
    """Print both diagrams as they stand in ARCHITECTURE.md."""
    print(diagram(TASK_MOVES, Phase.WORKING))  # noqa: T201
    print(diagram(STEP_MOVES, StepPhase.WAITING))  # noqa: T201


if __name__ == "__main__":
    main()
