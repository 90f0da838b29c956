"""Run one subtask: whatever its agent does, exactly one envelope comes of it.

    expired? -> payload -> price known? -> run -> envelope -> report

    what the agent did                           what is handed to the owner
    returned an Envelope                         it, with the meter's figures as usage
    returned anything else, or a bad one         failed, contract: what it was
    raised                                       failed, raised: what it was
    its next call could have overrun             partial of what it kept, or failed; budget
    its time was over                            partial of what it kept, or failed; timeout
    its worker was told to stop                  partial of what it kept, or failed; stopped
    its model has no price, under a usd ceiling  failed, price
    its claim was taken away                     nothing: the owner has settled it already

A sync agent runs on the pool's thread and is told by `ctx.cancelled` and by its meter. An async one
runs on the process's event loop and is cancelled.
"""

import asyncio
import concurrent.futures
import json
import logging
import signal
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from time import monotonic
from typing import Any, Final

from celery.exceptions import SoftTimeLimitExceeded
from pydantic import ValidationError

from envelopes import limits, versions
from envelopes.claims import Reported
from envelopes.envelope import Delegate, Envelope, Fault, Handoff, Question, Replan
from envelopes.lines import about
from envelopes.request import Step
from envelopes.shortened import shortened
from envelopes.strict import Refused, refusal
from envelopes.trace import trace_of
from workers.agent import Agent
from workers.claims import Claims
from workers.context import Context, Grant, readable
from workers.loop import Loop
from workers.meter import BudgetExhausted, Late, Meter, Refusal, Revoked
from workers.prices import PriceUnknown, resolve
from workers.telemetry import invoking

_TERMINATED: Final = signal.SIGTERM - 256
"""What a prefork child's own handler exits with; an agent's sys.exit() says something else."""
_LOOK_S: Final = 5.0
"""How often a waiting pool thread looks whether its agent is still wanted."""
_OURS: Final = {kind.__name__ for kind in (Envelope, Handoff, Delegate, Replan, Question, Step)}
"""Models of which an agent can make a bad one; whose it is stands in the error's title."""
_RETURNED_CHARS: Final = 80
"""How much of a wrong answer is quoted: enough to recognise it, too little to leak it."""

log = logging.getLogger("buckstop.runtime")


@dataclass(frozen=True, slots=True)
class Run:
    """One subtask under way."""

    agent: Agent
    grant: Grant
    payload: str
    context: Context
    claims: Claims
    loop: Loop
    started_at: float

    @classmethod
    def of(cls, agent: Agent, grant: Grant, payload: str, claims: Claims, loop: Loop) -> "Run":
        """Open the subtask's books."""
        books = _Books(claims, grant)
        allowance = grant.headers.allowance
        meter = Meter(books, allowance, over_at=grant.over_at, executor=loop.charges)
        return cls(agent, grant, payload, Context(grant, meter), claims, loop, monotonic())


def perform(run: Run) -> Envelope | None:
    """Run a subtask and report what came of it; None where it was taken away meanwhile."""
    envelope = outcome(run)
    reported = "revoked" if envelope is None else report(run, envelope)
    say(run, envelope, reported)
    if run.context.terminated:
        raise SystemExit(_TERMINATED)
    return envelope if reported == "ok" else None


def outcome(run: Run) -> Envelope | None:
    """Turn whatever the agent does into an envelope; None where its claim was taken away."""
    with about(whereabouts(run)), invoking(run.grant.headers) as invocation:
        run.context.meter.invocation = invocation
        envelope = _outcome(run)
        invocation.ended(envelope)
    return envelope


def whereabouts(run: Run) -> dict[str, object]:
    """Say which subtask a log line is about."""
    headers = run.grant.headers
    return {
        "task": headers.task,
        "subtask": headers.id,
        "agent": headers.agent,
        "hop": headers.hop,
        "trace_id": trace_of(headers.task, headers.traceparent),
    }


def _outcome(run: Run) -> Envelope | None:
    try:
        _refuse_if_expired(run)
        _set_price(run)
        envelope: Envelope | None = checked(run, _call(run, _arguments(run)))
    except BaseException as error:  # noqa: BLE001 - nothing an agent raises may get out of here
        envelope = _of_exception(run, error)
    return None if envelope is None else _with_usage(run, envelope)


def stopped(run: Run, reason: str) -> Envelope:
    """Return what can be handed back of an agent whose worker must end."""
    envelope = _with_usage(run, _cut_short(run, Fault.STOPPED, reason))
    run.context.meter.invocation.ended(envelope)
    return envelope


def report(run: Run, envelope: Envelope) -> Reported:
    """Hand the envelope to the owner, with what the last calls really cost."""
    grant, settled = run.grant, run.context.meter.settlements()
    return run.claims.report(grant.subtask, grant.token, settled, written(run, envelope))


def written(run: Run, envelope: Envelope) -> bytes:
    """Write an envelope as it travels; one that is too large becomes a failed one."""
    version = run.grant.headers.v  # in which it was asked: whoever asked can read that
    raw = versions.written("envelope", envelope, version).encode()
    if len(raw) > limits.ENVELOPE_BYTES_MAX:
        too_large = _with_usage(run, _too_large(len(raw)))
        return versions.written("envelope", too_large, version).encode()
    return raw


def say(run: Run, envelope: Envelope | None, reported: str) -> None:
    """Log how the subtask ended, in one line."""
    if not log.isEnabledFor(logging.INFO):
        return
    usage = run.context.meter.usage()
    said: dict[str, Any] = {
        **whereabouts(run),
        "report": reported,
        "ms": round((monotonic() - run.started_at) * 1000),
        "tokens": usage.tokens,
        "usd_micros": usage.usd_micros,
        "calls": usage.calls,
    }
    if envelope is not None:
        said |= {"status": envelope.status, "fault": envelope.fault, "reason": envelope.reason}
    log.info("a subtask ended", extra=said)


# --- before --------------------------------------------------------------------------------------


def _refuse_if_expired(run: Run) -> None:
    if run.context.seconds_left() <= 0:
        raise Late("its time was over before a slot was free for it")


def _set_price(run: Run) -> None:
    """Find the declared price, which must be known where dollars are bounded."""
    meter, price = run.context.meter, run.agent.price
    meter.model = price if isinstance(price, str) else ""
    try:
        meter.price = resolve(price)
    except PriceUnknown:
        if run.grant.headers.allowance.usd_micros is not None:
            raise


def _arguments(run: Run) -> dict[str, Any]:
    """Read the payload, which the orchestrator wrote and signed."""
    payload = {"answers": [], **json.loads(run.payload)}
    return {name: payload.get(name) for name in run.agent.takes}


# --- the agent -----------------------------------------------------------------------------------


def _call(run: Run, arguments: dict[str, Any]) -> object:
    if not run.agent.is_async:
        return run.agent.run(run.context, **arguments)
    return _wait_for(run, run.loop.submit(_on_the_loop(run, arguments)))


async def _on_the_loop(run: Run, arguments: dict[str, Any]) -> object:
    """Run an async agent until it answers, its time is over, or its claim is taken away."""
    loop, this = asyncio.get_running_loop(), asyncio.current_task()
    assert this is not None
    run.context.when_cancelled(lambda: loop.call_soon_threadsafe(this.cancel))
    try:
        async with asyncio.timeout(run.context.seconds_left()) as timer:
            return await run.agent.run(run.context, **arguments)
    except TimeoutError:
        if timer.expired():
            raise Late("its time was over") from None
        raise
    except asyncio.CancelledError:
        if run.context.cancelled.is_set():
            raise Revoked("the subtask was taken away from this worker") from None
        raise RuntimeError("it cancelled itself") from None


def _wait_for(run: Run, future: "concurrent.futures.Future[object]") -> object:
    """Wait, but not for ever: a coroutine may ignore its cancellation, or block the loop."""
    while True:
        over_in_s = run.context.seconds_left() + limits.ENDING_MS / 1000
        try:
            return future.result(timeout=min(over_in_s, _LOOK_S))
        except concurrent.futures.TimeoutError:
            if future.done():
                return future.result()  # the agent's own TimeoutError, or an answer just in time
        if run.context.cancelled.wait(0) and not _ends_soon(future):
            raise Revoked("the subtask was taken away; the agent goes on all the same")
        if run.context.seconds_left() <= 0 and not _ends_soon(future):
            raise Late("its time was over; the agent goes on all the same")


def _ends_soon(future: "concurrent.futures.Future[object]") -> bool:
    """Give a cancelled agent the time to clean up."""
    done, _ = concurrent.futures.wait([future], timeout=limits.ENDING_MS / 1000)
    return bool(done)


# --- after ---------------------------------------------------------------------------------------


def checked(run: Run, returned: object) -> Envelope:
    """Return the agent's envelope if the owner will be able to read it, else a failed one."""
    if not isinstance(returned, Envelope):
        return _broken(f"agent {run.agent.name} returned {_named(returned)}; return an Envelope")
    envelope = readable(returned)
    progress = run.context.made_progress if envelope.progress is None else envelope.progress
    # A fault is for the runtime to find, not for an agent to claim.
    return envelope.model_copy(update={"fault": None, "progress": progress})


def _of_exception(run: Run, error: BaseException) -> Envelope | None:
    cause = next((e for e in _chain(error) if _is_meaningful(e)), error)
    if isinstance(cause, Revoked) or run.context.cancelled.is_set():
        return None
    if isinstance(cause, BudgetExhausted):
        return _cut_short(run, Fault.BUDGET, f"the call was not made: {cause}")
    if isinstance(cause, Late | SoftTimeLimitExceeded):
        return _cut_short(run, Fault.TIMEOUT, str(cause) or "its time was over")
    if isinstance(cause, PriceUnknown):
        return Envelope.failed(str(cause), Fault.PRICE)
    if isinstance(error, SystemExit) and error.code == _TERMINATED:
        return _terminated(run)
    if isinstance(cause, ValidationError):
        cause = refusal(cause, Envelope, "envelope")
    if isinstance(cause, Refused):
        return _broken(f"agent {run.agent.name} made an envelope that breaks the rules: {cause}")
    log.warning("an agent raised", extra={"subtask": run.grant.subtask}, exc_info=error)
    return Envelope.failed(f"{type(error).__name__}: {_text_of(error)}", Fault.RAISED)


def _terminated(run: Run) -> Envelope:
    """Use the tenth of a second between a pool's SIGTERM to its child and its SIGKILL."""
    run.context.terminated = True
    if run.context.seconds_left() <= 0:
        return _cut_short(run, Fault.TIMEOUT, "its time was over, it went on, and was killed")
    return _cut_short(run, Fault.STOPPED, "its process was told to end before it was done")


def _is_meaningful(error: BaseException) -> bool:
    """Say whether the runtime knows what an exception means, other than that one was raised."""
    if isinstance(error, ValidationError):
        return error.title in _OURS
    return isinstance(error, Refusal | PriceUnknown | SoftTimeLimitExceeded | Refused)


def _chain(error: BaseException) -> Iterator[BaseException]:
    """Follow an exception to its causes: libraries wrap what passes through them."""
    seen: set[int] = set()
    link: BaseException | None = error
    while link is not None and id(link) not in seen:
        seen.add(id(link))
        yield link
        link = link.__cause__ or (None if link.__suppress_context__ else link.__context__)


def _cut_short(run: Run, fault: Fault, reason: str) -> Envelope:
    """Hand back what was kept; paid work is not thrown away."""
    kept = run.context.kept
    if kept is None:
        return Envelope.failed(reason, fault)
    text = reason[: limits.REASON_CHARS_MAX]
    return kept.model_copy(update={"reason": text, "fault": fault})


def _with_usage(run: Run, envelope: Envelope) -> Envelope:
    """Put the meter's figures in the place of the agent's own."""
    return envelope.model_copy(update={"usage": run.context.meter.usage()})


def _broken(reason: str) -> Envelope:
    return Envelope.failed(reason, Fault.CONTRACT)


def _too_large(size: int) -> Envelope:
    return _broken(
        f"the envelope has {size:,} bytes, at most {limits.ENVELOPE_BYTES_MAX:,} are taken; "
        "hand large results over by reference"
    )


def _text_of(foreign: object, write: Callable[[object], str] = str) -> str:
    """Write an agent's object as text that can travel; even its `__str__` is the agent's code."""
    try:
        return write(foreign).encode("utf-8", "replace").decode()
    except Exception as error:  # noqa: BLE001 - see above
        return f"(its text cannot be read: {type(error).__name__})"


def _named(returned: object) -> str:
    """Say what a wrong answer was, without repeating all of it."""
    if returned is None:
        return "nothing"
    return f"{type(returned).__name__} {shortened(_text_of(returned, repr), _RETURNED_CHARS)}"


@dataclass(frozen=True, slots=True)
class _Books:
    """The server's books of one subtask, as its meter sees them."""

    claims: Claims
    grant: Grant

    def charge(self, op: str, worst: Any, settled: Any, model: str) -> Any:
        return self.claims.charge(self.grant.subtask, self.grant.token, op, worst, settled, model)
