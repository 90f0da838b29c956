"""What A2A clients can have done, each by what the HTTP API does: with its checks and its refusals.

    task_id = await send(asked, params)        a new task, or the answer to a task's question
    shown = await get(asked, params)

Who asks, and of which app, is `Asked`. Whatever waits for Redis does so in a thread.
"""

import re
from dataclasses import dataclass
from functools import partial

from anyio import to_thread
from fastapi import Request, Response

from envelopes import limits
from envelopes.decision import Decision, Verb
from envelopes.letter import LetterKind
from envelopes.strict import Refused, compact, parse
from orchestrator.a2a import shown
from orchestrator.a2a.declared import Defaults
from orchestrator.a2a.faults import Fault
from orchestrator.a2a.following import Following
from orchestrator.a2a.messages import List, Message, OfTask, Send
from orchestrator.a2a.wanted import request_of, said_in
from orchestrator.cells.cell import CellAway
from orchestrator.cells.where import noting
from orchestrator.client import Buckstop, NotFound
from orchestrator.http import letters, tasks
from orchestrator.http.access import Caller, require_scope
from orchestrator.http.live import Live
from orchestrator.http.models import PLACE, Why, cursor_of, place_of
from orchestrator.http.stream import while_heard
from orchestrator.tokens import Scope
from orchestrator.view import TaskView
from orchestrator.wanted import Place, TasksWanted

_BY_A2A = "asked for by A2A"


@dataclass(frozen=True, slots=True)
class Asked:
    """Who asks, and of which app."""

    http: Request
    caller: Caller

    @property
    def buckstop(self) -> Buckstop:
        """Return the app's client."""
        found: Buckstop = self.http.app.state.buckstop
        return found

    @property
    def live(self) -> Live:
        """Return what the app's streams share."""
        found: Live = self.http.app.state.live
        return found

    @property
    def defaults(self) -> Defaults:
        """Return what the operator has declared for messages that leave it out."""
        found: Defaults = self.http.app.state.a2a_defaults
        return found

    async def task(self, task_id: str) -> TaskView:
        """Return a task that the caller may see, or raise NotFound."""
        require_scope(self.caller, Scope.READ)
        return await to_thread.run_sync(tasks.visible, self.buckstop, self.caller, task_id)

    async def letter(self, task: TaskView) -> shown.Letter | None:
        """Return what a task waits for a person with."""
        return await to_thread.run_sync(self._letter, task)

    def _letter(self, task: TaskView) -> shown.Letter | None:
        """Read it; it may be closed, and gone, since the task was read."""
        try:
            return None if task.letter is None else self.buckstop.letter(task.letter)
        except NotFound:
            return None

    async def whole(self, task: TaskView, history: int | None = None) -> shown.Shown:
        """Return a task in A2A's words."""
        return shown.whole(task, await self.letter(task), history)


# --- send ----------------------------------------------------------------------------------------


async def send(asked: Asked, sent: Send) -> str:
    """Do what a message asks for; return the task's id."""
    if sent.configuration.task_push_notification_config is not None:
        raise push_fault()
    require_scope(asked.caller, Scope.READ)  # for the answer is the task
    if sent.message.task_id:
        return await _answer(asked, sent.message)
    require_scope(asked.caller, Scope.SUBMIT)
    return await to_thread.run_sync(_submitted, asked, sent)


def push_fault() -> Fault:
    """Say that nothing is pushed by A2A, and what is instead."""
    return Fault(
        "PUSH_NOTIFICATION_NOT_SUPPORTED",
        "nothing is pushed by A2A; stream instead, or let the operator make a webhook: buckstop "
        "hooks new webhook URL",
    )


def _submitted(asked: Asked, sent: Send) -> str:
    """Submit; the same message sent again is the same task."""
    request = request_of(sent, asked.defaults, asked.caller.token.id)
    return tasks.submit(Response(), asked.buckstop, asked.caller, request).id


async def _answer(asked: Asked, message: Message) -> str:
    """Answer the question that a task waits with, by the token's name."""
    task = await asked.task(message.task_id)
    if message.context_id and message.context_id != shown.context_of(task):
        raise Refused("message.contextId", f"this task's is {shown.context_of(task)!r}")
    require_scope(asked.caller, Scope.DECIDE)
    if await to_thread.run_sync(_answered_before, asked, task, message):
        return task.id
    said = _decision(asked, _question(task, await asked.letter(task)), message)
    await letters.in_patience(
        asked.http, lambda: letters.decided_or_problem(asked.buckstop.decide(said))
    )
    return task.id


def _answered_before(asked: Asked, task: TaskView, message: Message) -> bool:
    """Say whether this very message has answered an earlier question: it is not the next one's."""
    ours = (asked.caller.name, _why(message))
    for number in range(1, limits.A2A_LETTERS_MAX):
        try:
            letter = asked.buckstop.letter(f"{task.id}.{number}")
        except NotFound:
            return False
        if (letter["by"], letter["decided_why"]) == ours:
            return True
    return False


def _question(task: TaskView, letter: shown.Letter | None) -> shown.Letter:
    """Return the question that is open, or raise Fault: a message is only ever its answer."""
    if task.final:
        raise Fault("UNSUPPORTED_OPERATION", f"the task is {task.state}; leave taskId out for new")
    if letter is None:
        raise Fault("UNSUPPORTED_OPERATION", "the task is at work, and takes no message meanwhile")
    if letter["kind"] != LetterKind.QUESTION:
        raise Fault(
            "UNSUPPORTED_OPERATION",
            f"it waits for a decision ({'|'.join(letter['allowed'])}), not for an answer; decide "
            f"with: POST /v1/letters/{letter['id']}/decision",
        )
    return letter


def _decision(asked: Asked, letter: shown.Letter, message: Message) -> Decision:
    text = said_in(message.parts)
    if not text:
        raise Refused("message.parts", "no part has text; the text is the answer")
    said = {
        "letter": letter["id"],
        "verb": Verb.ANSWER,
        "by": asked.caller.name,
        "why": _why(message),
        "answer": text,
    }
    return parse(Decision, compact(said), bytes_max=limits.REQUEST_BYTES_MAX, what="message")


def _why(message: Message) -> str:
    return f"A2A message {message.message_id}"


# --- the rest ------------------------------------------------------------------------------------


async def sent_and_waited(asked: Asked, sent: Send) -> shown.Shown:
    """Do what a message asks for, and return the task: at once, or when it is the client's turn."""
    task = await asked.task(await send(asked, sent))
    if not sent.configuration.return_immediately:
        with asked.live.seats.taken(asked.caller.token.id):
            async with Following(asked.live, task.id) as following:
                waiting = following.until_our_turn(limits.A2A_WAIT_S, task.version - 1)
                task = await while_heard(asked.http, waiting) or task
    return {"task": await asked.whole(task, sent.configuration.history_length)}


async def get(asked: Asked, wanted: OfTask) -> shown.Shown:
    """Return one task."""
    return await asked.whole(await asked.task(wanted.id), wanted.history_length)


async def cancel(asked: Asked, wanted: OfTask) -> shown.Shown:
    """Ask the owner of a task to stop it, and return the task, stopped where that was quick."""
    require_scope(asked.caller, Scope.READ)
    require_scope(asked.caller, Scope.SUBMIT)
    ask = partial(tasks.cancel_task, wanted.id, asked.buckstop, asked.caller, Why(why=_BY_A2A))
    done = await to_thread.run_sync(ask)
    if not done.asked:
        raise Fault("TASK_NOT_CANCELABLE", f"the task is {done.state} already")
    async with Following(asked.live, wanted.id) as following:
        task = await following.until_final(limits.A2A_CANCEL_S)
    return await asked.whole(task)


async def listed(asked: Asked, wanted: List) -> shown.Shown:
    """List tasks, those accepted last in front."""
    require_scope(asked.caller, Scope.READ)
    if wanted.status_timestamp_after:
        raise Refused("statusTimestampAfter", "is not kept; go on with pageToken instead")
    if wanted.status and wanted.status not in shown.STAGES:
        raise Refused("status", f"it is one of: {', '.join(shown.STAGES)}")
    found, next_, total = await to_thread.run_sync(_scanned, asked, wanted)
    return {
        "tasks": [await _short(asked, task, wanted) for task in found],
        "nextPageToken": next_,
        "pageSize": wanted.page_size,
        "totalSize": total,
    }


async def _short(asked: Asked, task: TaskView, wanted: List) -> shown.Shown:
    told = await asked.whole(task, wanted.history_length)
    if not wanted.include_artifacts:
        told.pop("artifacts", None)
    return told


def _scanned(asked: Asked, wanted: List) -> tuple[list[TaskView], str, int]:
    """Look for a page of what fits, through so many tasks; where none did, the next page goes on.

    Contexts have no index, and a state of A2A's may be a part of one of ours. A2A's list has no
    word for what is left out of it; so while a cell is away, there is none.
    """
    with noting() as left_out:
        listed = _looked_through(asked, wanted)
    if left_out:
        raise CellAway(left_out, "the list would lack what it has")
    return listed


def _looked_through(asked: Asked, wanted: List) -> tuple[list[TaskView], str, int]:
    tenant = asked.caller.only(wanted.tenant or None)
    where = TasksWanted(shown.STAGES.get(wanted.status), tenant, wanted.cell or None)
    place, found = _place(wanted.page_token), []
    for _ in range(limits.A2A_SCAN_MAX // wanted.page_size):
        page = asked.buckstop.tasks(wanted.page_size, place, where)
        place, found = page.next, [task for task in page.items if _fits(task, wanted)]
        if found or place is None:
            break
    return found, cursor_of(place) or "", asked.buckstop.store.count_tasks(where)


def _place(token: str) -> Place | None:
    if token and not re.fullmatch(PLACE, token):
        raise Refused("pageToken", "it is none; pass the nextPageToken of the page before")
    return place_of(token or None)


def _fits(task: TaskView, wanted: List) -> bool:
    return (not wanted.status or shown.state_of(task) == wanted.status) and (
        not wanted.context_id or shown.context_of(task) == wanted.context_id
    )
