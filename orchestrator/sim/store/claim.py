"""One open subtask, as the hash claim:{task}/{n} holds it: who runs it, and what it has spent."""

from dataclasses import dataclass, field
from typing import Final

from envelopes import limits
from envelopes.ledger import Amounts, Limits
from orchestrator.books import OTHER
from orchestrator.core.facts import ClaimState
from orchestrator.sim.store.checks import Ended

_UNBOUNDED: Final = Limits(limits.AMOUNT_CEILING, limits.AMOUNT_CEILING, limits.AMOUNT_CEILING)


@dataclass(slots=True)
class SimClaim:
    """One open subtask, as the hash claim:{task}/{n} holds it."""

    agent: str
    queue: str
    nonce: str
    allowance: Limits
    published_ms: int
    deadline_ms: int
    timeout_ms: int
    state: ClaimState = ClaimState.ISSUED
    token: str = ""
    worker: str = ""
    since_ms: int = 0
    beat_ms: int = 0
    until_ms: int = 0
    spent: Amounts = field(default_factory=Amounts)
    """All of it: booked and over, calls in flight at their worst."""
    flying: dict[str, Amounts] = field(default_factory=dict)
    models: dict[str, Amounts] = field(default_factory=dict)
    """By which model how much of it is charged; what named none is the rest."""
    model_of: dict[str, str] = field(default_factory=dict)
    """By which model a call in flight is booked, by its op."""
    handed: str = ""
    sha1: str = ""
    """Of its message, while that may lie on the queue."""

    @property
    def charged(self) -> Amounts:
        """Return what counts as charged: everything, as far as the allowance holds."""
        return self.spent.clamped(self.allowance)

    def settle(self, settled: Ended) -> None:
        """Book the real figures of ended calls; one that is not in flight was settled before."""
        for op, real in settled:
            if (worst := self.flying.pop(op, None)) is not None:
                self.spent = self.spent - worst + real
                self._add_to(self.model_of.pop(op), real - worst)

    def name(self, op: str, worst: Amounts, model: str) -> None:
        """Say by which model a call is booked; those that come late have one name."""
        if model and model not in self.models and len(self.models) >= limits.CLAIM_MODELS_MAX:
            model = OTHER
        self.model_of[op] = model
        self._add_to(model, worst)

    def _add_to(self, model: str, more: Amounts) -> None:
        if model:
            self.models[model] = self.models.get(model, Amounts()) + more

    def holds(self, worst: Amounts) -> bool:
        """Say whether the allowance holds one more call, in every dimension."""
        after = self.spent + worst
        return after.within(self.allowance) and after.within(_UNBOUNDED)

    def held_by(self, token: str) -> bool:
        """Say whether this token is the right to act on the subtask."""
        return self.state is ClaimState.CLAIMED and self.token == token

    def give_back(self, token: str) -> tuple[bool, bool]:
        """Make the claim as if it had never been fetched; say whether it is, and is just now."""
        if token and self.handed == token:
            return True, False
        if not self.held_by(token):
            return False, False
        self.state, self.handed = ClaimState.ISSUED, token
        self.token, self.worker = "", ""
        self.since_ms = self.beat_ms = self.until_ms = 0
        return True, True


@dataclass(frozen=True, slots=True)
class Booking:
    """A call to book before it is made."""

    op: str
    worst: Amounts
    model: str
