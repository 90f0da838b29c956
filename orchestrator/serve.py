"""The loop: claim → load → decide → commit.

Any number of these run side by side. None of them owns a task for longer than one decision: CLAIM
pushes a due task's alarm a few seconds ahead, COMMIT succeeds only on the version that was decided
on, and an orchestrator that dies in between has done nothing at all. What it would have done is
done by the next one that finds the alarm.

Nobody polls: an idle loop sleeps on the doorbell until mail rings it or the next alarm is due.

What this loop keeps in memory is a cache and nothing else: the tasks it decided last, by version.
"""

import dataclasses
import logging
import os
import signal
import threading
import time
from collections import Counter, OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import msgspec
from redis.exceptions import ConnectionError as RedisGone
from redis.exceptions import RedisError, ResponseError
from redis.exceptions import TimeoutError as RedisSilent

from envelopes import TaskRequest, exports, limits
from envelopes.connection import takes_no_writes, trouble_with
from envelopes.scripts import connect
from envelopes.seal import Signer
from envelopes.strict import Refused, parse
from envelopes.trace import trace_of
from envelopes.versions import OLDEST_VERSION, SCHEMA_VERSION, Newer
from orchestrator import log as log_lines
from orchestrator import undecidable
from orchestrator.checks import Verdict, desk, wait_until_fit
from orchestrator.committing import commit_of, of
from orchestrator.core import state
from orchestrator.core.commands import Decision, Look, Publish
from orchestrator.core.decide import decide
from orchestrator.core.facts import Claim, Mail, Sight
from orchestrator.core.task import Task
from orchestrator.door.door import Door
from orchestrator.door.porter import Fitness, Porter
from orchestrator.failures import Failures, too_large
from orchestrator.letters import read_mail
from orchestrator.roster import Roster
from orchestrator.settings import Settings
from orchestrator.store import Commit, Loaded, Mark, Store
from orchestrator.telemetry import SILENT, Committed, Silent, telling
from orchestrator.wire import Wire

log = logging.getLogger("buckstop.serve")

BATCH: Final = 32
"""Tasks decided between two round trips; small enough to be done well inside the wake lease."""
CACHED_TASKS: Final = 2_000
LOOKS_MAX: Final = 5
"""See, take away, see again: a decision that needs more is left to the next wake."""
CONFLICTS_MAX: Final = 3
"""Decide, lose to somebody else, decide again: a task that loses more often waits for its lease."""
IDLE_MS_MAX: Final = 5_000
"""The longest sleep on the doorbell: a server that went away is noticed by then."""
BACK_OFF_S: Final = (0.1, 0.2, 0.5, 1.0)


class _Woken(Exception):
    """Somebody wants the loop to stop while it sleeps."""


class Known(msgspec.Struct):
    """A task as it was when this loop last committed or loaded it."""

    mark: Mark
    request: TaskRequest
    task: Task
    written: bool
    """Whether the server has its state; a task that was just accepted is only a request there."""


class Draft(msgspec.Struct):
    """A decision on its way into a commit."""

    commit: Commit
    after: Known
    told: Committed


class Orchestrator:
    """One loop."""

    def __init__(
        self,
        store: Store,
        wire: Wire,
        traces: Silent = SILENT,
        newest: int = SCHEMA_VERSION,
        retention_ms: int | None = None,
    ) -> None:
        self._store = store
        self._failures = Failures(store)
        self._wire = wire
        self._traces = traces
        self._newest = newest
        """The newest schema version that it may write."""
        self._retention_ms = retention_ms
        """How long a task is kept once it has ended; None for what it was accepted with."""
        self._version = OLDEST_VERSION
        self._known: OrderedDict[str, Known] = OrderedDict()
        self._roster = Roster(store)
        self._desk_ms = 0
        self._left: OrderedDict[str, int] = OrderedDict()
        """What only a newer one can read, and until when this loop does not claim it."""
        self._stopping = threading.Event()
        self._asleep = False

    def run(self) -> None:
        """Decide until told to stop; back off while the server is away, or full."""
        failures = 0
        while not self._stopping.is_set():
            try:
                self.turn()
                failures = 0
            except RedisError as error:
                pause_s = BACK_OFF_S[min(failures, len(BACK_OFF_S) - 1)]
                failures += 1
                said = {"error": str(error), "again_in_s": pause_s, "see": "buckstop check"}
                log.warning(trouble_with(error), extra=said)
                self._stopping.wait(pause_s)
            except _Woken:
                break  # told to stop once more, or in the moment in which a sleep was over

    def stop(self) -> None:
        """Let the batch in hand be committed, then leave."""
        self._stopping.set()

    def stop_now(self, *_: object) -> None:
        """Stop, and cut a sleep on the doorbell short: a signal handler may raise out of it."""
        self.stop()
        if self._asleep:
            raise _Woken

    def turn(self, idle_ms_max: int = IDLE_MS_MAX) -> int:
        """Decide every task that is due, or sleep until one may be; return how many there were."""
        due = self._store.claim(BATCH, self._left)
        self._forget_left(due.now_ms)
        self._speak(due.spoken)
        self._look_at_desk(due.now_ms)
        if not due.task_ids:
            until_ms = due.now_ms + idle_ms_max
            wake_ms = until_ms if due.next_ms is None else min(due.next_ms, until_ms)
            self._sleep(max(1, wake_ms - due.now_ms))
            return 0
        self._roster.look(due.now_ms)
        again = self._decide_all(due.task_ids)
        for _ in range(CONFLICTS_MAX):
            if not again:
                break  # else somebody else has decided, or taken the last place at an agent
            self._roster.look_afresh(due.now_ms)
            again = self._decide_all(again)
        return len(due.task_ids)

    def _speak(self, spoken: int) -> None:
        """Write from now on what everybody who lives can read, and no newer than we are told."""
        version = max(OLDEST_VERSION, min(spoken, self._newest))
        if version != self._version:
            log.info("writing another schema version", extra={"v": version, "was": self._version})
        self._version = version

    def _forget_left(self, now_ms: int) -> None:
        """Claim again what was left to a newer one that has not come."""
        while self._left and (
            len(self._left) > limits.LEFT_MAX or next(iter(self._left.values())) <= now_ms
        ):
            self._left.popitem(last=False)

    def _look_at_desk(self, now_ms: int) -> None:
        """Do what is nobody's to do, and say long before the desk is full that people are slow."""
        if now_ms < self._desk_ms:
            return
        discarded, pruned = self._store.discard_due(), self._store.prune_tasks()
        more_stale = self._store.withdraw()
        if discarded:
            log.warning("messages nobody decided are let go", extra={"letters": discarded})
        if discarded == limits.DISCARD_MAX or pruned == limits.PRUNE_MAX or more_stale:
            return  # there may be more: the next turn looks again
        self._desk_ms = now_ms + limits.DESK_LOOK_MS
        finding = desk(self._store.count_letters())
        if finding.verdict is not Verdict.GOOD:
            log.warning("the desk fills up", extra={"found": finding.found, "fix": finding.fix})

    def _decide_all(self, task_ids: Sequence[str]) -> list[str]:
        """Decide these tasks and commit what was decided; return those that met a conflict."""
        drafts = [d for d in map(self._draft, self._load(task_ids)) if d is not None]
        lost: list[str] = []
        for draft, done in self._write(drafts) if drafts else ():
            if done:
                self._landed(draft)
            else:
                self._conflicted(draft)
                lost.append(draft.commit.task_id)
        return lost

    def _write(self, drafts: Sequence[Draft]) -> Iterator[tuple[Draft, bool]]:
        """Commit; where the server refuses one as senseless, the others are committed all the same.

        A commit that is sent again is known by its op. The smallest goes first: what there is no
        memory for stands in nobody's way.
        """
        try:
            landed = self._store.commit([draft.commit for draft in drafts])
        except (RedisGone, RedisSilent):
            raise
        except (Refused, ResponseError) as error:
            if len(drafts) == 1:
                commit = drafts[0].commit
                self._failed(commit.task_id, too_large(commit, error) or error)
                return
            for draft in sorted(drafts, key=lambda each: each.commit.size):
                yield from self._write([draft])
        else:
            yield from zip(drafts, landed, strict=True)

    def _sleep(self, at_most_ms: int) -> None:
        self._asleep = True
        try:
            self._store.wait(at_most_ms)
        except _Woken:
            self._store.ring()  # the stroke that we may have taken with us is for somebody else
        finally:
            self._asleep = False

    # --- load ------------------------------------------------------------------------------------

    def _load(self, task_ids: Sequence[str]) -> list[Loaded]:
        """Load what nobody has decided since it was claimed: whoever did has seen to its alarm."""
        wanted = [
            (each, known.mark if (known := self._known.get(each)) else None) for each in task_ids
        ]
        return [each for each in self._store.load(wanted) if each is not None and each.held]

    def _task(self, loaded: Loaded) -> Known:
        """Return the task as it is: from memory where its state is the same."""
        if loaded.fields is None:
            return self._known[loaded.task_id]
        assert loaded.request is not None
        state.require_known(loaded.fields)
        request = _request(loaded.request)
        task = state.read(loaded.task_id, loaded.accepted_ms, request, loaded.fields)
        mark = Mark(loaded.version, loaded.op)
        return Known(mark, request, task, written=state.HEAD in loaded.fields)

    # --- decide ----------------------------------------------------------------------------------

    def _draft(self, loaded: Loaded) -> Draft | None:
        """Decide one task. One that cannot be decided is left to its alarm; the others go on."""
        try:
            if undecidable.is_waiting(loaded):
                self._failures.act(loaded)
                return None
            return self._decide(loaded)
        except Newer as newer:
            log.warning("left to a newer one", extra={"task": loaded.task_id, "why": str(newer)})
            self._left[loaded.task_id] = loaded.now_ms + limits.LEFT_MS
            return None
        except (RedisGone, RedisSilent):
            raise
        except Exception as error:  # noqa: BLE001  our bug, or a broken record: see _failed
            self._failed(loaded.task_id, error)
            return None

    def _failed(self, task_id: str, error: Exception) -> None:
        """Say so and count it; after some in a row the task is a person's."""
        if takes_no_writes(error):
            raise error  # it is the server's trouble, even if it takes the next one
        log.error("a decision failed", exc_info=error, extra={"task": task_id})
        self._known.pop(task_id, None)
        try:
            self._failures.count(task_id, error)
        except RedisError:
            raise
        except Exception:
            log.exception("nor could it be put on the desk", extra={"task": task_id})

    def _decide(self, loaded: Loaded) -> Draft | None:
        claims: Mapping[int, Claim] | None = None
        for _ in range(LOOKS_MAX):
            known = self._task(loaded)
            if known.task.rooms:  # it was woken because there may be room now
                self._roster.look_afresh(loaded.now_ms)
            sight = Sight(agents=self._roster.agents, claims=claims, admitted=loaded.admitted)
            decision = decide(known.task, _read(loaded), sight, loaded.now_ms)
            if isinstance(decision, Decision):
                if self._roster.is_too_old_for(decision, loaded.now_ms):
                    self._roster.look_afresh(loaded.now_ms)
                    continue
                self._roster.count_in(decision)
                return self._drafted(known, loaded, decision)
            self._known[loaded.task_id] = known
            claims = self._look(known.task, decision)
            again = self._load([loaded.task_id])  # a report may have come in between
            if not again:
                return None
            if (again[0].version, again[0].op) != (loaded.version, loaded.op):
                claims = None  # somebody has decided meanwhile; what we saw is not what is open now
            loaded = again[0]
        return None

    def _look(self, task: Task, look: Look) -> Mapping[int, Claim]:
        return self._store.look(task.id, look.subtasks, look.revoke)

    # --- commit ----------------------------------------------------------------------------------

    def _drafted(self, known: Known, loaded: Loaded, decision: Decision) -> Draft:
        """Put everything that leaves into one commit."""
        began_ns = time.time_ns()
        written = state.write(known.task if known.written else None, decision.task, self._version)
        publish = self._wire.outgoing(
            decision.task, list(of(Publish, decision)), loaded.now_ms, self._version
        )
        retention_ms = self._retention_ms or loaded.retention_ms
        commit = commit_of(loaded, decision, written, publish, retention_ms)
        mark = Mark(loaded.version + commit.raises, commit.op)
        after = Known(mark, known.request, decision.task, written=True)
        return Draft(commit, after, Committed(known.task, decision, loaded.now_ms, began_ns))

    def _landed(self, draft: Draft) -> None:
        task = draft.after.task
        self._known[task.id] = draft.after
        self._known.move_to_end(task.id)
        if task.outcome is not None or len(self._known) > CACHED_TASKS:
            self._known.pop(task.id if task.outcome is not None else next(iter(self._known)))
        self._traces.tell(draft.told)
        if draft.told.decision.notes:
            log.info("decided", extra=_line(draft.told.decision))

    def _conflicted(self, draft: Draft) -> None:
        self._known.pop(draft.commit.task_id, None)
        log.info("somebody else decided", extra={"task": draft.commit.task_id})


def _request(stored: bytes) -> TaskRequest:
    """Read what was checked when it came in; who cannot read it now is too old for it."""
    try:
        return parse(TaskRequest, stored, bytes_max=limits.REQUEST_BYTES_MAX, what="request")
    except Refused as refused:
        raise Newer(f"its request cannot be read here: {refused}") from None


def _read(loaded: Loaded) -> list[Mail]:
    return [read_mail(letter) for letter in loaded.mail]


def _line(decision: Decision) -> dict[str, Any]:
    """Say what was decided and why, in one structured line."""
    task = decision.task
    whys = Counter(note.why for note in decision.notes)
    return {
        "task": task.id,
        "tenant": task.terms.tenant,
        "phase": task.phase.value,
        "outcome": task.outcome and task.outcome.value,
        "hop": task.hop,
        "why": dict(whys),
        "trace_id": trace_of(task.id, task.terms.traceparent),
        "text": next((n.text for n in reversed(decision.notes) if n.text), ""),
        "spent": dataclasses.asdict(task.ledger.spent),
    }


def main() -> None:
    """Run one loop until SIGTERM or SIGINT."""
    log_lines.start(process="orchestrator", pid=os.getpid())
    settings = Settings.read()
    client = connect(settings.url)
    wait_until_fit(client)
    exported = exports.start("buckstop.orchestrator")
    traces = telling(exported)
    signer = Signer(settings.require_signing_key())
    loop = Orchestrator(
        Store(client, settings.keys, settings.replicas),
        Wire(signer, settings.keys, traces=traces),
        traces,
        settings.schema,
        settings.retention_ms,
    )
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, loop.stop_now)
    log.info("serving", extra={"server": log_lines.without_password(settings.url)})
    door = Door(client, settings.keys)
    porter = Porter(door, Fitness(client, door))
    porter.start()
    loop.run()
    porter.stop()
    if exported is not None:
        exported.close()
    log.info("stopped")


if __name__ == "__main__":
    main()
