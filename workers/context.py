"""What an agent is given: where it stands, what it may spend, and how to say what it wants."""

import logging
from collections.abc import Callable, MutableMapping, Sequence
from dataclasses import dataclass
from threading import Event, Lock
from time import monotonic
from typing import Any

from envelopes.envelope import Delegate, Envelope, Handoff, Question, Replan, Status
from envelopes.headers import Headers
from envelopes.limits import ENVELOPE_BYTES_MAX, REASON_CHARS_MAX
from envelopes.request import Step
from envelopes.strict import Refused, parse
from workers.meter import Meter

_log = logging.getLogger("buckstop.agent")


@dataclass(frozen=True, slots=True)
class Grant:
    """A claimed subtask: what its signed headers say, and the proof that it is ours."""

    headers: Headers
    token: str
    over_at: float
    """When it is over, on `time.monotonic()`'s clock: its own timeout or the task's deadline."""

    @property
    def subtask(self) -> str:
        """Return the subtask's id, task/n."""
        return self.headers.id


class Context:
    """One subtask, as its agent sees it."""

    def __init__(self, grant: Grant, meter: Meter) -> None:
        self.headers = grant.headers
        """Everything that travelled with the message: hop, trail, tenant, traceparent, ..."""
        self.meter = meter
        """Charge every paid call here first (workers/meter.py)."""
        self.deadline = grant.over_at
        """When the subtask is over, on `time.monotonic()`'s clock."""
        self.cancelled = Event()
        """Set when the subtask is taken away: stop, nobody will read the answer."""
        self.kept: Envelope | None = None
        """The best partial so far."""
        self.made_progress: bool | None = None
        self.terminated = False
        """Whether this process is being ended, and must end once it has reported."""
        self._on_cancel: list[Callable[[], object]] = []
        self._lock = Lock()

    @property
    def subtask(self) -> str:
        """Return the subtask's id: use it as an idempotency key for what must not happen twice."""
        return self.headers.id

    @property
    def log(self) -> "logging.LoggerAdapter[logging.Logger]":
        """Return a logger whose lines say which subtask they belong to."""
        headers = self.headers
        return _Lines(_log, {"subtask": headers.id, "agent": headers.agent, "hop": headers.hop})

    def seconds_left(self) -> float:
        """Return how long the subtask may still take."""
        return max(0.0, self.deadline - monotonic())

    def keep(self, result: Any, confidence: float) -> None:
        """Put aside what there is so far; should the subtask be cut short, it is handed back.

        The most confident one is kept; of equals, the later.
        """
        candidate = readable(Envelope.partial(result, confidence, "not finished"))
        best = self.kept
        if best is None or (candidate.confidence or 0) >= (best.confidence or 0):
            self.kept = candidate

    def progress(self, made: bool = True) -> None:  # noqa: FBT001, FBT002 - ctx.progress(False) reads well
        """Say whether this subtask has brought the task any further."""
        self.made_progress = made

    def handoff(
        self,
        to: str,
        goal: str | None = None,
        input: Any = None,  # noqa: A002 - the word that payloads use
        *,
        reason: str,
    ) -> Envelope:
        """Return an envelope that asks the owner to give this step to another agent.

        What was kept so far goes with it: should the handoff be refused, it is not lost.
        """
        return self._asking(Handoff(to=to, goal=goal, input=input), reason)

    def question(self, text: str, choices: Sequence[str] = ()) -> Envelope:
        """Return an envelope that asks a person; the answer comes back in `answers`."""
        ask = Question(text=text, choices=tuple(choices))
        return self._asking(ask, f"asks: {text}"[:REASON_CHARS_MAX])

    def delegate(self, *steps: Step, reason: str = "next") -> Envelope:
        """Return a manager's envelope that asks the owner to have these steps done."""
        return self._asking(Delegate(steps=steps), reason)

    def replan(self, *steps: Step, reason: str) -> Envelope:
        """Return a manager's envelope that asks the owner to do this instead of all before."""
        return self._asking(Replan(steps=steps), reason)

    def _asking(self, ask: Handoff | Question | Delegate | Replan, reason: str) -> Envelope:
        return Envelope(
            status=Status.PARTIAL,
            result=self.kept.result if self.kept else None,
            confidence=self.kept.confidence if self.kept else None,
            reason=reason,
            ask=ask,
        )

    # --- for the runtime -------------------------------------------------------------------------

    def cancel(self) -> None:
        """Tell the agent, and its meter, that the subtask is no longer ours."""
        self.meter.revoke()
        with self._lock:
            self.cancelled.set()
            waiting, self._on_cancel = self._on_cancel, []
        for callback in waiting:
            try:
                callback()
            except Exception:  # whoever tells us has others to tell: it may be the beat's thread
                self.log.exception("what was to follow the cancellation has failed")

    def when_cancelled(self, callback: Callable[[], object]) -> None:
        """Call back once when the subtask is taken away; at once where it already was."""
        with self._lock:
            if not self.cancelled.is_set():
                self._on_cancel.append(callback)
                return
        callback()


def readable(envelope: Envelope) -> Envelope:
    """Return an envelope as its owner will read it, or raise Refused where the owner could not.

    Parsed anew, since an envelope can be made without being validated.
    """
    try:
        raw = envelope.model_dump_json().encode()
    except (ValueError, TypeError, RecursionError) as error:
        raise Refused("result", f"is no JSON: {error}") from None
    return parse(Envelope, raw, bytes_max=ENVELOPE_BYTES_MAX, what="envelope")


class _Lines(logging.LoggerAdapter):  # type: ignore[type-arg] # generic only to type checkers
    def process(
        self, msg: Any, kwargs: MutableMapping[str, Any]
    ) -> tuple[Any, MutableMapping[str, Any]]:
        """Add the subtask to what the agent says itself."""
        return msg, {**kwargs, "extra": {**(self.extra or {}), **(kwargs.get("extra") or {})}}
