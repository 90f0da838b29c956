"""What nobody has to wait for while nothing is wrong.

In the liveness phase every process lives and answers, so whatever is left lying is left by a bug:
mail that nobody reads, a dead worker's claim that nobody takes away, a message that is gone and
that nobody sends again. A task would still end, by its deadline; late is wrong all the same.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from envelopes import limits
from orchestrator.core.facts import ClaimState

if TYPE_CHECKING:
    from orchestrator.sim.world import World

_MAIL_MS: Final = 4_000
"""Nobody holds a task for longer than a blink, so its mail is read at once."""
_LOST_MS: Final = limits.LEASE_MS + 2_000
"""A step whose worker died runs again elsewhere by then."""
_GONE_MS: Final = limits.PATIENCE_MS + limits.LEASE_MS + 2_000


class Vigil:
    """Looks at the server every few seconds."""

    def __init__(self, world: "World") -> None:
        self._world = world
        self._since: dict[str, int] = {}
        self.neglected: list[str] = []

    def look(self) -> None:
        """Note what has been left lying for too long."""
        now_ms, since = self._world.now_ms, self._since
        found = dict(self._lying())
        self._since = {what: since.get(what, now_ms) for what in found}
        for what, patience_ms in found.items():
            if now_ms - self._since[what] >= patience_ms:
                self.neglected.append(what)

    def _lying(self) -> Iterator[tuple[str, int]]:
        """Name everything that somebody ought to do something about, and how soon."""
        server, now_ms = self._world.server, self._world.now_ms
        for task_id, letters in server.mail.items():
            if letters:
                yield f"{task_id} has mail that nobody reads: {letters[0][:40]!r}", _MAIL_MS
        for subtask, claim in server.claims.items():
            silent = claim.state is ClaimState.CLAIMED and now_ms >= claim.beat_ms + _LOST_MS
            if silent:
                yield f"{subtask} waits for a worker that is silent", 0
            gone = claim.state is ClaimState.ISSUED and now_ms >= claim.published_ms + _GONE_MS
            if gone and not server.queues[claim.queue]:
                yield f"{subtask} waits for a message that is gone", _LOST_MS
