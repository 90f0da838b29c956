"""Put recorded bursts of failed model calls through a circuit breaker.

Some recordings have every call to the model with its clock, those that failed (rate limits, above
all) among them. Each call is offered to a store at its recorded time, as a subtask for the agent
`llm`, and settled with what became of it. The breaker is the simulated store's, which passes the
tests of the real one; what it refuses, nobody sends.

A failed call that is refused is *spared*. One that went well on record and is refused waits until
the breaker lets a probe out, and is that probe; all that was recorded after it is so much later.
So the world is taken to be as it was at the recorded moments: it is no better for being spared.

A *burst* is a row of failed calls. It has recovered when the call that ended it on record was made
and the breaker is closed; where the recording ends with it, nobody knows.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import groupby
from typing import Final

from bench.replay_traces import Trace, Turn
from envelopes import Limits, limits
from orchestrator.sim.store import SimStore
from orchestrator.store import Commit, Outgoing, Settled, Submission, Verdict

AGENT: Final = "llm"
TASK: Final = "t"
RECORDED: Final = frozenset(("call", "fault"))
"""Kinds of turns that are one call to a model each."""
HOUR_MS: Final = 3_600_000
COUNTED: Final = (
    *("runs", "calls", "failed", "spared", "bursts", "long_bursts"),
    *("recovered", "ended_by_the_record", "waited_s"),
)


def replay(traces: Iterable[Trace]) -> dict[str, int]:
    """Put the calls of each run through a breaker of its own, and count."""
    counted = Counter(dict.fromkeys(COUNTED, 0))
    for trace in traces:
        counted.update(_of_run([turn for turn in trace.turns if turn.kind in RECORDED]))
    return dict(counted)


def _of_run(called: Sequence[Turn]) -> Counter[str]:
    line, counted, in_burst = Line(), Counter(runs=1), False
    for kind, group in groupby(called, key=lambda turn: turn.kind):
        turns = tuple(group)
        if kind == "call":
            closed = [line.succeeds(turn) for turn in turns]
            counted.update(calls=len(turns), recovered=in_burst and closed[0])
        else:
            made = [line.fails(turn) for turn in turns]
            long = len(turns) >= limits.BREAKER_FAULTS
            counted.update(failed=len(turns), spared=made.count(False), bursts=1, long_bursts=long)
        in_burst = kind == "fault"
    counted.update(ended_by_the_record=in_burst, waited_s=line.late_ms // 1000)
    return counted


class Line:
    """One run's calls to its model, one after the other, through a store of its own."""

    def __init__(self) -> None:
        self.late_ms = 0
        """How much later than on record it all happens by now."""
        self._now_ms = 1
        self._store = SimStore(lambda: self._now_ms)
        self._store.submit(Submission(TASK, b"{}", {}, "default", None, HOUR_MS, HOUR_MS))
        self._subtask = 0

    def fails(self, turn: Turn) -> bool:
        """Offer a call that failed on record; say whether it was made."""
        self._until(turn)
        return self._made("fault")

    def succeeds(self, turn: Turn) -> bool:
        """Offer a call that went well until it is made; say whether the breaker is closed then."""
        self._until(turn)
        while not self._made("ok"):
            opens_ms = self._store.agents()[AGENT].breaker.opens_ms
            assert opens_ms > self._now_ms, "half open, and still nothing may go out"
            self.late_ms += opens_ms - self._now_ms
            self._now_ms = opens_ms
        return AGENT not in (seen := self._store.agents()) or not seen[AGENT].breaker.open

    def _until(self, turn: Turn) -> None:
        self._now_ms = max(self._now_ms, int(turn.t * 1000) + self.late_ms)

    def _made(self, verdict: Verdict) -> bool:
        """Publish one call, unless the breaker refuses it, and settle it."""
        number = self._subtask + 1
        message = Outgoing(
            AGENT, AGENT, number, "n", Limits(), self._now_ms + HOUR_MS, HOUR_MS, b"{}"
        )
        if not self._commit(replace(self._nothing(), publish=(message,))):
            return False
        self._subtask = number
        self._store.look(TASK, [number], [number])  # what runs cannot be settled
        settled = self._commit(replace(self._nothing(), settled=(Settled(number, AGENT, verdict),)))
        assert settled, "nobody else decides on this task"
        return True

    def _commit(self, commit: Commit) -> bool:
        [written] = self._store.commit([commit])
        return written

    def _nothing(self) -> Commit:
        """Return a commit of this task as it is now, that says nothing yet."""
        [loaded] = self._store.load([(TASK, None)])
        assert loaded is not None
        return Commit(
            task_id=TASK,
            version=loaded.version,
            op=self._store.new_op(),
            fields={},
            dropped=(),
            mail_read=0,
            alarm_ms=None,
            journal=(),
            settled=(),
            publish=(),
            letter=None,
            letter_closed=None,
            event=b"",
            outcome=None,
            retention_ms=HOUR_MS,
        )
