"""Everything that can leave the core, on one screen.

A decision is a new task, the commands that go with it, and the lines for its journal. The shell
writes all of it in one commit (store/commit.py); none of it may be seen before it has succeeded.

`Look` is the other answer: the core cannot decide on what it was shown. The shell looks at the
claims of open subtasks, takes away those it is told to, loads the task again (a report may have
come in between) and asks again. Taking a claim away is safe to repeat, and safe to do alone: if
the shell dies in between, the next one finds a revoked claim, settles it and goes on.
"""

from enum import StrEnum

from envelopes import Amounts, Ledger, Limits
from orchestrator.core.task import Plan, Record, Task


class Publish(Record, frozen=True):
    """Send one subtask to its agent's queue, with its allowance already reserved."""

    subtask: int
    step: str
    agent: str
    attempt: int
    hop: int
    allowance: Limits
    timeout_ms: int
    goal: str
    payload: str
    """JSON text: goal, input, and the results of the step's needs by name."""
    trail: tuple[str, ...]
    ledger: Ledger
    deadline_ms: int
    """The task's, or, for whoever helps to end it, a little later."""


class Served(StrEnum):
    """What a settled subtask says of its agent; what it says of the content is nobody's fault."""

    OK = "ok"
    FAULT = "fault"
    NOTHING = ""
    """It was taken away, or stopped by its budget: the agent had no chance."""


class Settle(Record, frozen=True):
    """Forget the claim of a subtask: its envelope is absorbed, or its claim was revoked."""

    subtask: int
    agent: str
    served: Served
    booked: Amounts
    """What the ledger takes for it, which is never more than was allowed."""


class Wait(Record, frozen=True):
    """Wait in this agent's room; whoever comes first is woken first, one tenant after the other."""

    agent: str


class Leave(Record, frozen=True):
    """Wait in this agent's room no more."""

    agent: str


class Escalate(Record, frozen=True):
    """File a dead letter and wait for a person."""

    letter: str
    why: str
    kind: str
    due_ms: int
    story: str
    """JSON text: what was asked, spent and kept, and what may be decided."""
    reason: str
    """The rule that led here: letters with the same one have the same cause."""
    agent: str
    """Whom it is about, at which step and hop; empty where it is about nobody."""
    step: str
    hop: int


class Judged(Record, frozen=True):
    """An agent's claim, and whether a person confirmed it."""

    agent: str
    confidence: float
    confirmed: bool


class CloseLetter(Record, frozen=True):
    """Take the letter off the desk: it was decided, or its default applied."""

    letter: str
    verb: str
    by: str
    why: str
    decided_as: str
    """The decision's fingerprint; empty where nobody decided."""
    judged: tuple[Judged, ...] = ()
    """What the person thought of results that agents had been sure of, to this degree."""
    said: str = ""
    """What came with the decision, in short: an answer, another result, what more may be used."""


class Conclude(Record, frozen=True):
    """End the task. Nothing comes after it."""

    outcome: str


Command = Publish | Settle | Wait | Leave | Escalate | CloseLetter | Conclude


class Granted(Record, frozen=True):
    """The bounds of a task from here on: a person has moved them."""

    ceiling: Limits
    hops_max: int
    deadline_ms: int


class Note(Record, frozen=True):
    """One line of the journal: what was decided or learnt, and why."""

    at_ms: int
    why: str
    """The rule's name."""
    text: str
    spent: Amounts
    reserved: Amounts
    step: str | None = None
    subtask: int | None = None
    hop: int | None = None
    agent: str | None = None
    status: str | None = None
    confidence: float | None = None
    charged: Amounts | None = None
    allowance: Limits | None = None
    fault: str | None = None
    plan: int | None = None
    """The number of the plan that is put in force."""
    granted: Granted | None = None
    steps: Plan | None = None
    """Steps that an agent has made up, long texts cut: whoever reads on needs to know them."""


class Decision(Record, frozen=True):
    """What is to be, and what is to be done about it."""

    task: Task
    commands: tuple[Command, ...]
    notes: tuple[Note, ...]
    alarm_ms: int | None
    """When to wake the task if no mail comes; None for a task that has ended."""


class Look(Record, frozen=True):
    """Show me these claims; and take those away."""

    subtasks: tuple[int, ...]
    revoke: tuple[int, ...] = ()
