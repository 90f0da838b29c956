"""One turn of the loop, as far as it reads: claim what is due, load it, look at its claims.

Called by serve.py. What was decided on it is written by commit.py, on what is true then.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from redis import Redis

from envelopes import limits
from envelopes.keys import Keys
from envelopes.ledger import Amounts
from envelopes.scripts import Arg, Call, new_op, raised
from envelopes.versions import SCHEMA_VERSION
from orchestrator.core.facts import Claim, ClaimState
from orchestrator.store.fields import of_the_core
from orchestrator.store.part import Part


@dataclass(frozen=True, slots=True)
class Due:
    """Tasks to look at now, held for WAKE_LEASE_MS, and when the next alarm rings."""

    task_ids: list[str]
    next_ms: int | None
    now_ms: int
    spoken: int = SCHEMA_VERSION
    """The schema version that everybody who lives can read."""


class Mark(NamedTuple):
    """By which a task's state is known: its version, and the op of the commit that made it.

    The version alone does not do. After a fail-over or a restore the server may be a commit behind,
    and the next commit then makes a second state of the same version.
    """

    version: int
    op: str = ""
    """Empty while nobody has committed."""


@dataclass(frozen=True, slots=True)
class Loaded:
    """A task as of one moment. Request and fields are None where the known version is current."""

    task_id: str
    version: int
    accepted_ms: int
    retention_ms: int
    request: bytes | None
    fields: dict[str, bytes] | None
    mail: tuple[bytes, ...]
    """Oldest first, bounded; say in the commit how many of them were absorbed."""
    now_ms: int
    op: str = ""
    """The last commit's."""
    admitted: bool = True
    """False while it waits for one of its tenant's places at work: it may publish nothing."""
    held: bool = True
    """False where somebody has committed since it was claimed. What comes free for it now wakes it
    and tells nobody who has loaded it: their COMMIT would put the alarm far away again."""


class Turns(Part):
    """What the loop asks."""

    def __init__(self, client: Redis, keys: Keys) -> None:
        super().__init__(client, keys)
        self._name = new_op()
        self._claim_op = new_op()

    def claim(self, count: int, left: Collection[str] = ()) -> Due:
        """Take up to `count` tasks whose alarm has rung, except these; one loop for each Store."""
        args: list[Arg] = [self._claim_op, count, SCHEMA_VERSION, *left]
        reply = self._scripts.run("claim", [self._keys.last(self._name)], args)
        self._claim_op = new_op()
        now_ms, next_ms, task_ids, spoken = reply
        return Due([task_id.decode() for task_id in task_ids], next_ms, now_ms, spoken)

    def load(self, wanted: Sequence[tuple[str, Mark | None]]) -> list[Loaded | None]:
        """Read tasks (each with the state known, if any) and their mail in one round trip."""
        calls: list[Call] = [
            (
                "load",
                [self._keys.task(task_id), self._keys.mail(task_id)],
                [f"{known.version} {known.op}" if known else ""],
            )
            for task_id, known in wanted
        ]
        replies = raised(self._scripts.run_many(calls))
        return [
            None if reply is None else _loaded(task_id, reply)
            for (task_id, _), reply in zip(wanted, replies, strict=True)
        ]

    def look(self, task_id: str, claims: Sequence[int], revoke: Sequence[int]) -> dict[int, Claim]:
        """Show these claims; those in `revoke` are taken away first, unless reported."""
        numbers = sorted({*claims, *revoke})
        taken = set(revoke)
        args: list[Arg] = [task_id]
        for number in numbers:
            args += [number, int(number in taken)]
        replies = self._scripts.run("look", [], args)
        return dict(zip(numbers, map(_seen, replies), strict=True))

    def fail(self, task_id: str, op: str) -> int:
        """Count one more decision that could not be made; return how many failed in a row."""
        return int(self._scripts.run("fail", [self._keys.task(task_id)], [op]))

    def rest(self, task_id: str, alarm_ms: int, op: str) -> bool:
        """Let a task sleep beside its mail; False where more has come: it is looked at again."""
        keys = [self._keys.task(task_id), self._keys.mail(task_id)]
        return bool(self._scripts.run("rest", keys, [task_id, alarm_ms, op]))

    def wait(self, timeout_ms: int) -> bool:
        """Wait for the bell, WAIT_MS_MAX at most; say whether it rang."""
        if timeout_ms <= 0:  # to BLPOP zero means for ever
            return self._client.lpop(self._keys.bell) is not None
        seconds = min(timeout_ms, limits.WAIT_MS_MAX) / 1000
        return self._client.blpop([self._keys.bell], timeout=seconds) is not None

    def ring(self) -> None:
        """Wake one idle orchestrator."""
        self._client.rpush(self._keys.bell, "1")

    def serving(self) -> bool:
        """Say whether an orchestrator has looked for work lately."""
        return bool(self._client.exists(self._keys.serving))


def _loaded(task_id: str, reply: list[Any]) -> Loaded:
    version, op, accepted_ms, retention_ms, now_ms, admitted, held, mail, flat = reply
    found = dict(zip(map(bytes.decode, flat[::2]), flat[1::2], strict=True)) if flat else {}
    return Loaded(
        task_id=task_id,
        version=int(version),
        accepted_ms=int(accepted_ms),
        retention_ms=int(retention_ms),
        request=found.get("request"),
        fields=of_the_core(found) if flat else None,
        mail=tuple(mail),
        now_ms=now_ms,
        op=op.decode(),
        admitted=bool(admitted),
        held=bool(held),
    )


def _seen(reply: list[Any]) -> Claim:
    state, tokens, usd_micros, calls, since_ms, beat_ms, queued = reply
    return Claim(
        state=ClaimState(state.decode()),
        charged=Amounts(int(tokens), int(usd_micros), int(calls)),
        since_ms=int(since_ms),
        beat_ms=int(beat_ms),
        queued=bool(queued),
    )
