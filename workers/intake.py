"""Take messages off the queues, look at each, and pass on what may run.

A fetch takes messages and records their claims in one step on the server, so nothing can fall
between the two. What the gate refuses is filed as a letter with its original bytes, and the claim
it had taken is given back, so that a forged or edited copy can neither run nor block the real one.
"""

import logging
from collections.abc import Container, Iterator, Sequence
from time import monotonic
from typing import Any

from envelopes.claims import Fetched
from envelopes.keys import base_of
from envelopes.limits import FETCH_BYTES_MAX, KILL_AFTER_MS
from workers.beat import Beat
from workers.claims import Claims
from workers.context import Grant
from workers.gate import Checks, Kind, Message, Refusal, as_celery_reads_it, inspect
from workers.held import Held, Hold

GRANT = "buckstop_grant"
"""The header in which a Grant travels from here to the task, inside this machine only."""

log = logging.getLogger("buckstop.intake")


class Intake:
    """Stands between the queues and Celery."""

    def __init__(
        self, claims: Claims, held: Held, beat: Beat, verifier: Checks, tasks: Container[str]
    ) -> None:
        self.held = held
        self.more = False
        """Whether the last fetch left messages behind: the next one need not wait for a bell."""
        self._claims = claims
        self._beat = beat
        self._verifier = verifier
        self._tasks = tasks
        self._turn = 0

    def take(self, queues: Sequence[str]) -> Iterator[tuple[str, dict[str, Any]]]:
        """Fetch as much as there is room for; yield each good message with its agent's queue.

        The queue to be served first changes with each fetch.
        """
        self._turn += 1
        first = self._turn % len(queues)
        turned = [*queues[first:], *queues[:first]]
        free, ahead = self.held.room(turned)
        self.more = False
        quick = self.held.quick(turned)
        if len(quick) == len(turned):
            free, ahead = free + ahead, 0
        if free:
            yield from self._fetch(turned, free)
        if ahead:
            yield from self._fetch(quick, ahead)

    def hand_back(self, hold: Hold) -> None:
        """Give a subtask back unstarted, so that another worker can have it at once."""
        self._beat.remove(hold.subtask, hold.token)
        self._claims.hand_back(hold.subtask, hold.token, hold.queue, hold.raw)

    def _fetch(self, queues: Sequence[str], count: int) -> Iterator[tuple[str, dict[str, Any]]]:
        now_ms, fetched = self._claims.fetch(queues, count)
        now = monotonic()
        size = sum(len(each.raw) for each in fetched)
        self.more = self.more or len(fetched) >= count or size >= FETCH_BYTES_MAX
        refused: list[tuple[Fetched, Refusal]] = []
        for each in fetched:
            found = self._look_at(each, now_ms)
            if isinstance(found, Message):
                yield base_of(each.queue), self._pass(each, found, now_ms, now)
            elif found is not None:
                refused.append((each, found))
        for each, refusal in refused:  # last: to file it needs a server, and what may run is ours
            self._refuse(each, refusal)

    def _look_at(self, each: Fetched, now_ms: int) -> Message | Refusal | None:
        found = inspect(each.raw, each.queue, now_ms, self._verifier, self._tasks)
        return _by_claim(each, found) if isinstance(found, Message) else found

    def _pass(self, each: Fetched, message: Message, now_ms: int, now: float) -> dict[str, Any]:
        headers = message.headers
        left_s = min(headers.timeout_ms, headers.deadline_ms - now_ms) / 1000
        grant = Grant(headers, each.token, over_at=now + left_s)
        self.held.add(Hold(each.subtask, each.token, each.queue, each.raw))
        self._beat.add(each.subtask, each.token, lambda: self.held.drop_unbegun(each.subtask))
        return as_celery_reads_it(message, left_s + KILL_AFTER_MS / 1000, **{GRANT: grant})

    def _refuse(self, each: Fetched, refusal: Refusal) -> None:
        """File it, unless the owner knows: a revoked message that is merely late is no news."""
        if each.state == "revoked" and refusal.kind is Kind.EXPIRED:
            return
        log.warning(
            "a message may not run",
            extra={
                "subtask": each.subtask,
                "queue": each.queue,
                "kind": refusal.kind,
                "why": refusal.why,
            },
        )
        its_own = each.state in {"claimed", "replayed"}  # its nonce fits: it is of this subtask
        claim = (each.subtask, each.token) if its_own else None
        kind, reason = refusal.filed_as.value, refusal.kind.value
        why = f"{refusal.reason}: {refusal.why}"
        if each.state in {"claimed", "revoked"} or each.letter:  # else it is counted already
            self._claims.quarantine(reason, kind, each.queue, each.raw, why, claim, each.letter)


def _by_claim(each: Fetched, message: Message) -> Message | Refusal | None:
    """Judge a well-signed message by its claim; None where the owner has taken that away."""
    if each.state == "revoked":
        return None
    if each.state == "replayed":
        return Refusal(Kind.REPLAYED, f"{message.headers.id} is claimed or reported already")
    if each.state == "foreign" or each.subtask != message.headers.id:
        return Refusal(Kind.NOT_ISSUED, f"the claim of {message.headers.id} has another nonce")
    return message
