"""Messages that can never run, and how they come off their queues, as lua/_stale.lua does it."""

import re
from hashlib import sha1
from typing import Final

from envelopes import limits
from envelopes.keys import base_of
from orchestrator.core.facts import ClaimState
from orchestrator.sim.store.claim import SimClaim
from orchestrator.sim.store.part import SimPart

_CLAIM_HEADER: Final = re.compile(rb'"buckstop_claim":\s*"([0-9a-zA-Z-]+/\d+):([0-9a-fA-F]+)"')


def claim_header(raw: bytes) -> tuple[str, str] | None:
    """Read which subtask a message is of, and its nonce."""
    found = _CLAIM_HEADER.match(raw, raw.find(b'"buckstop_claim"'))
    return None if found is None else (found[1].decode(), found[2].decode())


def _is_enough(count: int, size: int) -> bool:
    return count >= limits.WITHDRAW_MAX or size >= limits.WITHDRAW_BYTES_MAX


class SimStale(SimPart):
    """What is withdrawn."""

    def withdraw(self) -> bool:
        """Take messages that can never run off the heads of their queues."""
        return self.send("withdraw", lambda: self._withdraw(sorted(self.stale)))

    def _note_stale(self, subtask: str, claim: SimClaim) -> None:
        """Note a settled claim's message, if nobody has fetched it."""
        if claim.sha1 and claim.state is ClaimState.REVOKED and not claim.token:
            self.stale[claim.queue][subtask] = claim.sha1

    def _withdraw(self, queues: list[str]) -> bool:
        """Withdraw what is stale at the heads of these queues; say whether there may be more."""
        count, size = 0, 0
        for queue in queues:
            while not _is_enough(count, size) and (raw := self._withdraw_first(queue)) is not None:
                count, size = count + 1, size + len(raw)
            self._strike(queue)
        self.counters["withdrawn"] += count
        self.counters["withdrawn_bytes"] += size
        return _is_enough(count, size)

    def _withdraw_first(self, queue: str) -> bytes | None:
        """Take the first message off, if it is the very one that was pushed, and stale."""
        raw = self.queues[queue][-1] if self.queues[queue] else b""
        header = claim_header(raw)
        subtask = header[0] if header else ""
        if self.stale[queue].get(subtask) != sha1(raw, usedforsecurity=False).hexdigest():
            return None
        del self.stale[queue][subtask]
        return self.queues[queue].pop()

    def _strike(self, queue: str) -> None:
        """Forget a queue that has no stale messages any more, and a lane without messages."""
        if not self.queues[queue]:
            base = base_of(queue)
            self.lanes.served(base, [], self.queues)
            if not any(self.queues[lane] for lane in self.lanes.in_turn(base)):
                self.bells[self.keys.queue_bell(base)] = 0
            self.stale[queue].clear()
        if not self.stale[queue]:
            del self.stale[queue]
