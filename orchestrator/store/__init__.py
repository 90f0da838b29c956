"""Everything the orchestrator keeps, and the only way to it.

    store = Store(client, keys)
    store.submit(submission)                    accept a task                       intake.py
    due = store.claim(32)                       whose alarm has rung?               turns.py
    loaded = store.load([(id, None), ...])      their state and their mail          turns.py
    store.commit([Commit(...), ...])            what was decided, all or nothing    commit.py

The other parts: tasks.py (one task), letters.py, crew.py (agents, tenants and their bounds),
history.py (news and books), indexes.py (find and count). What each key holds stands in
catalogue.py, and what each script does on top of it, in orchestrator/lua.

The simulation's twin has the same parts, without a server: orchestrator/sim/store. Workers have a
side of their own: workers/claims.py.
"""

from redis import Redis

from envelopes.keys import Keys
from orchestrator.figures import Figures
from orchestrator.figures import read as read_figures
from orchestrator.store.commit import Commit, Commits, Outgoing, Settled, Verdict
from orchestrator.store.crew import Crew
from orchestrator.store.history import History
from orchestrator.store.indexes import Indexes, Overview
from orchestrator.store.intake import Intake, Submission, Submitted
from orchestrator.store.letters import (
    LetterClosed,
    LetterFiled,
    Letters,
    MessageDecision,
    MessageSettled,
)
from orchestrator.store.tasks import Events, Tasks
from orchestrator.store.turns import Due, Loaded, Mark, Turns

__all__ = [
    "Commit",
    "Due",
    "Events",
    "LetterClosed",
    "LetterFiled",
    "Loaded",
    "Mark",
    "MessageDecision",
    "MessageSettled",
    "Outgoing",
    "Overview",
    "Settled",
    "Store",
    "Submission",
    "Submitted",
    "Verdict",
]


class Store(Intake, Turns, Commits, Indexes, Letters, Tasks, Crew, History):
    """The server as the orchestrator sees it. Threads may share it, but one only may claim."""

    def __init__(self, client: Redis, keys: Keys, replicas: int = 0) -> None:
        """Use a server; a submission returns once this many replicas have it, or time is up."""
        super().__init__(client, keys)
        self._replicas = replicas

    def figures(self) -> Figures:
        """Count everything that is measured."""
        return read_figures(self._scripts, self.workers(), self.spend(2))
