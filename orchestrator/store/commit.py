"""One decision and everything that goes with it, in one script: all of it is written, or none.

The crash rules stand on the type: read Commit first. What the script checks, and in which order it
writes, stands in lua/commit.lua.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha1
from typing import Literal

from envelopes.ledger import Amounts, Limits
from envelopes.scripts import Arg, Call, raised
from orchestrator.store.fields import pairs
from orchestrator.store.letters import LetterClosed, LetterFiled
from orchestrator.store.part import Part, or_empty


@dataclass(frozen=True, slots=True)
class Outgoing:
    """One message to publish, and the claim that goes with it."""

    agent: str
    queue: str
    """The agent's, or its tenant's lane beside it."""
    subtask: int
    nonce: str
    allowance: Limits
    deadline_ms: int
    """The task's; the step's timeout runs from the fetch."""
    timeout_ms: int
    message: bytes

    @property
    def sha1(self) -> str:
        """Return the message's digest, by which it is known on its queue; Lua has no other."""
        return sha1(self.message, usedforsecurity=False).hexdigest()


Verdict = Literal["ok", "fault", ""]
"""What a settled subtask says of its agent. Empty says nothing: it was taken away, or stopped."""


@dataclass(frozen=True, slots=True)
class Settled:
    """A claim to forget, and what it says of its agent."""

    subtask: int
    agent: str
    """Whose claim it is; another one's is refused."""
    verdict: Verdict
    booked: Amounts = Amounts()  # noqa: RUF009 -- it is frozen
    """What the ledger takes for it; the day's books take the claim's own figures, and these only
    where its record is gone."""


@dataclass(frozen=True, slots=True)
class Commit:
    """One decision and everything that goes with it.

    All of it is written, or none where `version` is no longer the task's. A commit that says
    nothing but `alarm_ms` leaves the version as it is; see `raises`.
    """

    task_id: str
    version: int
    op: str
    """Names this commit; committing it twice is committing it once."""
    fields: Mapping[str, bytes]
    dropped: tuple[str, ...]
    mail_read: int
    alarm_ms: int | None
    journal: tuple[bytes, ...]
    settled: tuple[Settled, ...]
    """Claims to forget. One that is still issued or claimed is a conflict: look, and revoke it."""
    publish: tuple[Outgoing, ...]
    letter: LetterFiled | None
    letter_closed: LetterClosed | None
    event: bytes
    outcome: str | None
    """Set when the task ends: mail and alarm go, the record expires after `retention_ms`."""
    retention_ms: int
    enter: tuple[str, ...] = ()
    """Agents for which the task waits from now on: it is woken when they have a place, and again
    until it says `leave`, whether it got a place or not. Entering twice keeps the turn. If there is
    a place already, somebody is called in at once."""
    leave: tuple[str, ...] = ()
    """Agents for which it waits no more. One that ends leaves all rooms by itself."""
    judged: tuple[bytes, ...] = ()
    """JSON lines for the calibration: results that a person has judged with this letter."""
    stop_reason: str = ""
    """Why the task has ended, for the news of it."""
    base: str | None = None
    """The op of the commit that was decided on, as LOAD said; empty where nobody had committed.
    None for any."""

    @property
    def size(self) -> int:
        """Return how many bytes are sent with it, but for names and figures."""
        written = sum(map(len, (*self.fields.values(), *self.journal, *self.judged)))
        return written + sum(len(each.message) for each in self.publish)

    @property
    def raises(self) -> bool:
        """Say whether the task's version is one higher after this commit.

        Reading mail does raise it, even mail that changed nothing: two orchestrators that read the
        same letters must not both trim, or the second would trim letters that nobody has read.
        """
        return any(
            (
                *(
                    self.fields,
                    self.dropped,
                    self.mail_read,
                    self.journal,
                    self.settled,
                    self.publish,
                ),
                *(self.enter, self.leave, self.judged),
                *(self.letter, self.letter_closed, self.outcome),
            )
        )


class Commits(Part):
    """Where decisions are written."""

    def commit(self, commits: Sequence[Commit]) -> list[bool]:
        """Write decisions, each by itself; False where somebody else has decided meanwhile."""
        calls: list[Call] = []
        for c in commits:
            keys = [self._keys.task(c.task_id), self._keys.mail(c.task_id)]
            calls.append(("commit", [*keys, self._keys.journal(c.task_id)], _commit_args(c)))
        return [bool(reply) for reply in raised(self._scripts.run_many(calls))]

    def withdraw(self) -> bool:
        """Take messages that can never run off their queues; say whether there may be more.

        A commit does so with its own; this is for what lay behind others then.
        """
        return bool(self._scripts.run("withdraw", [], []))


def _commit_args(c: Commit) -> list[Arg]:
    """Lay a commit out as commit.lua reads it: the head, then counted sections."""
    expected = str(c.version) if c.base is None else f"{c.version} {c.base}"
    args: list[Arg] = [c.task_id, expected, c.op, int(c.raises), c.mail_read]
    args += [or_empty(c.alarm_ms), c.outcome or "", c.stop_reason, c.retention_ms, c.event]
    for section in (
        pairs(c.fields),
        c.dropped,
        c.journal,
        [arg for settled in c.settled for arg in _settled(settled)],
        [arg for outgoing in c.publish for arg in _outgoing(outgoing)],
        () if c.letter is None else _filed(c.letter),
        () if c.letter_closed is None else _closed(c.letter_closed),
        c.enter,
        c.leave,
        c.judged,
    ):
        args.append(len(section))
        args += section
    return args


def _settled(s: Settled) -> tuple[Arg, ...]:
    b = s.booked
    return s.subtask, s.agent, s.verdict, str(b.tokens), str(b.usd_micros), str(b.calls)


def _outgoing(o: Outgoing) -> tuple[Arg, ...]:
    a = o.allowance
    bounds = or_empty(a.tokens), or_empty(a.usd_micros), or_empty(a.calls)
    head = o.agent, o.queue, o.subtask, o.nonce
    return (*head, *bounds, o.deadline_ms, o.timeout_ms, o.sha1, o.message)


def _filed(f: LetterFiled) -> tuple[Arg, ...]:
    return f.letter, f.kind, f.why, f.due_ms, f.story, f.reason, f.agent, f.step, f.hop


def _closed(c: LetterClosed) -> tuple[Arg, ...]:
    return c.letter, c.verb, c.by, c.why, c.decided_as, c.said
