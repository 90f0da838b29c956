"""Submit tasks and follow them, from any Python program.

    from orchestrator.client import Buckstop

    with Buckstop() as buckstop:
        task = buckstop.submit(
            goal="compare three vendors", agent="research",
            budget={"tokens": 20_000}, timeout="5m", until={"kind": "plan_done"},
        )
        for view in task.watch():
            print(view.state, view.ledger.spent)
        print(task.result().result)

What is wrong with a request raises Refused, naming the field; a server that cannot keep promises
raises Unfit, naming the fix. Once `submit` has returned, the task ends in exactly one outcome.
"""

import json
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from envelopes import Ledger, limits
from envelopes.decision import Cancellation, Decision, Verb
from envelopes.letter import Facet, LetterKind
from envelopes.scripts import connect, new_op
from envelopes.strict import Refused
from orchestrator import checks, intake
from orchestrator.amendment import amendment_faults
from orchestrator.indexes import Overview
from orchestrator.intake import RequestLike
from orchestrator.news import News
from orchestrator.settings import Settings
from orchestrator.store import Events, MessageDecision, Store
from orchestrator.view import AgentView, KeptView, State, TaskView, agent_view, view
from orchestrator.wanted import ALL, ALL_TASKS, Page, Place, TasksWanted, Wanted

REREAD_S = 1.0
"""A watcher looks at the task itself this often, in case an announcement was lost."""
GATHER_S = 0.1
"""Announcements that come this close together are one change: a wide task makes hundreds."""
DECIDED_WITHIN_S = 10.0
"""How long to wait for an orchestrator to act on a decision before saying that none has."""
AT_ONCE = 8
"""Letters decided side by side, where many are decided alike: orchestrators act in batches."""
AWAY_S = limits.WATCH_AWAY_S
"""How long a watcher waits for a server that went away."""
PREFIX_AMONG = 10_000
"""How many of the newest tasks a shortened id is looked for in."""
_LETTER_TEXTS = (
    *("kind", "reason", "why", "agent", "tenant", "task", "step"),
    *("state", "verb", "by", "decided_why", "decided_as"),
)


class NotFound(LookupError):
    """There is no such task or letter, or a shortened id fits several."""


class TimedOut(TimeoutError):
    """The task had not ended, or the decision not been acted on, in the time given."""


@dataclass(frozen=True, slots=True)
class Result:
    """How a task ended."""

    task: str
    outcome: State
    result: Any
    confidence: float | None
    stop_reason: str | None
    ledger: Ledger
    kept: Mapping[str, KeptView]
    """By step: the best that was produced, whatever the outcome."""

    def as_json(self) -> dict[str, Any]:
        """Return the result as a JSON object."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Story:
    """A task and everything that happened to it."""

    task: TaskView
    journal: tuple[Mapping[str, Any], ...]

    def as_json(self) -> dict[str, Any]:
        """Return the story as a JSON object."""
        return {**self.task.as_json(), "journal": list(self.journal)}


@dataclass(frozen=True, slots=True)
class DecidedLetter:
    """What became of a letter."""

    letter: str
    first: bool
    """Whether it was this decision that counted."""
    verb: str
    by: str
    why: str
    decided_ms: int

    @classmethod
    def told(cls, decision: Decision, letter: Mapping[str, Any]) -> Self:
        """Tell whoever made a decision what a task's letter, closed by now, says of it."""
        said = (letter["verb"], letter["by"], letter["decided_why"])
        ours = (decision.verb.value, decision.by, decision.why)
        first = said == ours and letter["decided_as"] == decision.fingerprint()
        return cls(decision.letter, first, *said, letter["decided_ms"])


@dataclass(frozen=True, slots=True)
class DecidedAll:
    """What became of many letters that were decided alike."""

    decided: int
    before: int
    """Somebody else was first."""
    refused: Mapping[str, str]
    """By letter, why the decision made no sense of it; it stays open."""


class Buckstop:
    """One connection to a deployment. Safe to share between threads."""

    def __init__(self, url: str | None = None, *, settings: Settings | None = None) -> None:
        """Connect to the URL, else to BUCKSTOP_URL, else to what `buckstop up` started here."""
        self.settings = settings or Settings.read(start=Path.cwd(), url=url)
        self._client = connect(self.settings.url)
        self.store = Store(self._client, self.settings.keys)
        self._fit = False

    def submit(self, request: RequestLike = b"", /, **fields: object) -> "TaskHandle":
        """Submit a task, given as fields, as a request or as its JSON; or raise Refused or Unfit.

        With an idempotency key that was used before, return the task it was used for.
        """
        submission = intake.submission(request or {}, **fields)
        self._require_fit()
        submitted = self.store.submit(submission)
        return TaskHandle(self, submitted.task_id, created=submitted.created)

    def task(self, task_id: str) -> "TaskHandle":
        """Return a task by its id or by an unambiguous beginning of it, or raise NotFound."""
        if task_id and self.store.task(task_id) is not None:
            return TaskHandle(self, task_id)
        newest = self.store.find_tasks(count=PREFIX_AMONG)
        found = [known.id for known in newest if known.id.startswith(task_id)]
        if len(found) != 1 or not task_id:
            raise NotFound(_none_or_several(task_id, found))
        return TaskHandle(self, found[0])

    def tasks(
        self, count: int = 20, before: Place | None = None, wanted: TasksWanted = ALL_TASKS
    ) -> Page[TaskView]:
        """Return tasks that are wanted, newest first; `before` is the `next` of the page before."""
        shown, next_ = _page(self.store.find_tasks(wanted, count + 1, before), count)
        stored = zip(shown, self.store.read_tasks(shown), strict=True)
        return Page([view(each, fields) for each, fields in stored if fields], next_)

    def letters(
        self, count: int = 20, before: Place | None = None, wanted: Wanted = ALL
    ) -> Page[dict[str, Any]]:
        """Return open letters that are wanted, newest first, as `tasks` does."""
        shown, next_ = _page(self.store.find_letters(wanted, count + 1, before), count)
        stored = zip(shown, self.store.read_letters(shown), strict=True)
        return Page([_letter(each, fields) for each, fields in stored if fields], next_)

    def overview(self) -> Overview:
        """Return everything in a few figures, as of one moment and at the cost of one call."""
        return self.store.overview()

    def news(self, after: str | None = None) -> Iterator[News]:
        """Yield what happens to tasks and letters, from now on, or behind news seen before.

        It never ends. News have an id each; whoever keeps the last one misses nothing, however long
        they were away, unless `event` is "gap": then read the lists anew.
        """
        return self.store.follow_news(self.store.last_news() if after is None else after)

    def letter_counts(self, facet: Facet, wanted: Wanted = ALL) -> dict[str, int]:
        """Count open letters that are wanted by kind, reason, agent or tenant, the most in front.

        What many letters have in common is one cause.
        """
        return self.store.group_letters(facet, wanted)

    def letter(self, letter_id: str) -> dict[str, Any]:
        """Return one letter, open or decided, or raise NotFound."""
        stored = self.store.letter(letter_id)
        if not stored:
            raise NotFound(f"no letter {letter_id!r}; see which are open: buckstop letters")
        return _letter(letter_id, stored)

    def check_amendment(self, letter_id: str, result: Any) -> list[tuple[str, str]]:
        """Say where (as a JSON pointer) and why a result would be refused as an amendment.

        An empty list means that it would be delivered. Nothing is decided. Raise NotFound where
        the letter or its task is not there any more, and Refused where no task waits on it.
        """
        letter = self.letter(letter_id)
        if LetterKind(letter["kind"]).of_a_message:
            raise Refused("verb", f"{letter_id} is a message that no task waits on: replay|discard")
        stored = self.store.task(letter["task"])
        if stored is None:
            raise NotFound(_none_or_several(letter["task"], []))
        return amendment_faults(letter_id, letter["task"], stored, result)

    def agents(self) -> list[AgentView]:
        """Return every agent that a worker runs or a message was sent to, by name."""
        at_work = Counter(name for one in self.store.workers() for name in one.get("agents", ()))
        return [
            agent_view(name, one, self.store.queue_depth(name), at_work[name])
            for name, one in sorted(self.store.agents().items())
        ]

    def decide(self, decision: Decision, timeout: float = DECIDED_WITHIN_S) -> DecidedLetter:
        """Decide a letter and wait until an orchestrator has acted on it.

        The first decision wins: `first` says whether this one was it, and the rest whose was. The
        same one by the same name, sent again because its answer was lost, is still the first.
        Raise TimedOut where no orchestrator is at work; the decision is kept for when one is.
        """
        letter = self.letter(decision.letter)
        if LetterKind(letter["kind"]).of_a_message:
            return self._settle_message(decision)
        if decision.verb.of_a_message:
            raise Refused("verb", f"a task waits on {decision.letter}; say {_verbs(letter)}")
        if letter["state"] == "open":
            letter = self._acted_on(decision, letter["task"], timeout)
        return DecidedLetter.told(decision, letter)

    def decide_all(
        self, wanted: Wanted, decision: Decision, timeout: float = DECIDED_WITHIN_S
    ) -> DecidedAll:
        """Decide every open letter that is wanted alike; which one the decision names is ignored.

        Each is a decision of its own, recorded with its task. Raise TimedOut where no orchestrator
        is at work; what was decided until then stays so, and saying it again does the rest.
        """
        found = [each.id for each in self.store.find_letters(wanted, limits.LETTERS_MAX)]
        alike = (decision.model_copy(update={"letter": letter}) for letter in found)
        with ThreadPoolExecutor(AT_ONCE) as threads:
            said = list(threads.map(lambda one: self._decided_or_refused(one, timeout), alike))
        done = [each for each in said if isinstance(each, DecidedLetter)]
        refused = zip(found, said, strict=True)
        return DecidedAll(
            decided=sum(each.first for each in done),
            before=sum(not each.first for each in done),
            refused={letter: why for letter, why in refused if isinstance(why, str)},
        )

    def _decided_or_refused(self, decision: Decision, timeout: float) -> DecidedLetter | str:
        try:
            return self.decide(decision, timeout)
        except (Refused, NotFound) as wrong:
            return str(wrong)

    def close(self) -> None:
        """Close the connection."""
        self._client.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _require_fit(self) -> None:
        """Ask everything before the first submit, and for room before each one."""
        if self._fit:
            checks.require_room(self._client)
        else:
            checks.require_fit(self._client)
            self._fit = True
        checks.require_desk(self.store.count_letters())

    def _settle_message(self, decision: Decision) -> DecidedLetter:
        """Do what is said of a message that was set aside: at once, for no task waits on it."""
        d = decision
        if not d.verb.of_a_message:
            raise Refused("verb", f"{d.letter} is a message that no task waits on: replay|discard")
        said = MessageDecision(d.letter, d.verb, d.by, d.why)
        settled = self.store.settle_message(said, new_op())
        if settled is None:
            raise NotFound(f"letter {d.letter!r} has expired; see which are open: buckstop letters")
        s = settled
        return DecidedLetter(d.letter, s.ours, s.verb, s.by, s.why, s.decided_ms)

    def _acted_on(self, decision: Decision, task_id: str, timeout: float) -> dict[str, Any]:
        """Post a decision and return the letter once it is decided, by this decision or another."""
        give_up = time.monotonic() + timeout
        text = decision.model_dump_json().encode()
        if len(text) > (most := limits.ENVELOPE_BYTES_MAX):
            raise Refused("result", f"the decision has {len(text):,} bytes; {most:,} are taken")
        with self.store.events(task_id) as events:
            before = set(self.store.journal(task_id))
            self.store.post(task_id, b"decide\n" + text, new_op())
            while (left := give_up - time.monotonic()) > 0:
                letter = self.letter(decision.letter)
                if letter["state"] != "open":
                    return letter
                new = [
                    json.loads(line) for line in self.store.journal(task_id) if line not in before
                ]
                if refused := [note["text"] for note in new if note["why"] == "refused_decision"]:
                    raise Refused("verb", f"{refused[0]}; the letter stays open")
                events.get(min(REREAD_S, left))
        raise TimedOut(
            f"nobody acted on the decision of {decision.letter} within {timeout:g} s; it is kept, "
            "but is an orchestrator running? start one with: buckstop serve"
        )


class TaskHandle:
    """One accepted task."""

    def __init__(self, buckstop: Buckstop, task_id: str, *, created: bool = True) -> None:
        self.id = task_id
        self.created = created
        """False where an idempotency key named a task that was there before."""
        self._buckstop = buckstop

    def status(self) -> TaskView:
        """Return the task as it is now, or raise NotFound."""
        stored = self._buckstop.store.task(self.id)
        if stored is None:
            raise NotFound(_none_or_several(self.id, []))
        return view(self.id, stored)

    def watch(self, timeout: float | None = None) -> Iterator[TaskView]:
        """Yield the task as it is, and again after each change, until it has ended.

        Announcements wake it; the task itself is what is read, so the end is seen even where every
        announcement was lost. It leaves early, without a word, when the time given has passed. A
        server that restarts meanwhile is waited for, AWAY_S at most.
        """
        give_up = None if timeout is None else time.monotonic() + timeout
        seen, heard = -1, time.monotonic()
        while True:
            try:
                for now in self._changes(give_up):
                    heard = time.monotonic()
                    if now.version != seen:
                        seen = now.version
                        yield now
            except (RedisConnectionError, RedisTimeoutError):
                if time.monotonic() - heard > AWAY_S:
                    raise
                time.sleep(REREAD_S)
            else:
                return

    def _changes(self, give_up: float | None) -> Iterator[TaskView]:
        """Read the task at every announcement and once a second, until it ends or time is up."""
        with self._buckstop.store.events(self.id) as events:
            while True:
                yield (now := self.status())
                left = REREAD_S if give_up is None else min(REREAD_S, give_up - time.monotonic())
                if now.final or left <= 0:
                    return
                if events.get(left) is not None:
                    _gather(events)

    def wait(self, timeout: float | None = None) -> Result:
        """Wait until the task has ended and return how, or raise TimedOut; the task goes on."""
        last: TaskView | None = None
        for now in self.watch(timeout):
            last = now
        if last is None or not last.final:
            at = last.state if last else "unknown"
            raise TimedOut(f"task {self.id} is still {at} after {timeout:g} s; it goes on")
        return _result(last)

    result = wait

    def cancel(self, why: str = "", by: str = "client") -> bool:
        """Ask the owner to stop the task; False where it has ended already."""
        wish = Cancellation(by=by, why=why)
        text = f"cancel\n{wish.model_dump_json()}".encode()
        return self._buckstop.store.post(self.id, text, new_op())

    def show(self) -> Story:
        """Return the task with its history."""
        lines = self._buckstop.store.journal(self.id)
        return Story(self.status(), tuple(json.loads(line) for line in lines))


def _page(found: list[Place], count: int) -> tuple[list[str], Place | None]:
    """Say what is on a page of a list that was asked for one more, and where the next begins."""
    more = len(found) > count > 0
    return [each.id for each in found[:count]], found[count - 1] if more else None


def _gather(events: Events) -> None:
    """Let announcements that come in a burst pass; one look at the task covers them all."""
    until = time.monotonic() + GATHER_S
    while (left := until - time.monotonic()) > 0:
        events.get(left)


def _result(task: TaskView) -> Result:
    return Result(
        task=task.id,
        outcome=task.state,
        result=task.result,
        confidence=task.confidence,
        stop_reason=task.stop_reason,
        ledger=task.ledger,
        kept=task.kept,
    )


def _letter(letter_id: str, stored: Mapping[str, bytes]) -> dict[str, Any]:
    """Read a letter's hash; what is not there is said to be nothing."""
    letter: dict[str, Any] = dict.fromkeys(_LETTER_TEXTS, "") | {"id": letter_id, "story": None}
    for name, value in stored.items():
        if name == "story":
            letter[name] = json.loads(value)
        elif name.endswith("_ms") or name in {"size", "hop"}:
            letter[name] = int(value)
        else:
            letter[name] = value.decode("utf-8", "backslashreplace")
    letter["allowed"] = _allowed(letter, stored)
    story = letter["story"] or {"if_nobody_decides": Verb.DISCARD.value}
    letter["if_nobody_decides"] = story.get("if_nobody_decides", Verb.ABORT.value)
    return letter


def _allowed(letter: Mapping[str, Any], stored: Mapping[str, bytes]) -> list[str]:
    """Say what can be decided: nothing once somebody has, and no replay of half a message."""
    if letter["state"] != "open":
        return []
    if letter["story"] is not None:
        return list(letter["story"].get("allowed", ()))
    whole = int(stored.get("size", b"0")) == len(stored.get("bytes", b""))
    return [verb for verb in Verb if verb.of_a_message and (whole or verb is not Verb.REPLAY)]


def _verbs(letter: Mapping[str, Any]) -> str:
    return "|".join(letter["allowed"]) or "nothing: it is decided"


def _none_or_several(task_id: str, found: list[str]) -> str:
    if task_id and found:
        return (
            f"{task_id!r} is the beginning of {len(found)} task ids; write more of it: "
            + ", ".join(found[:5])
        )
    return f"no task {task_id!r}; see which there are: buckstop tasks"
