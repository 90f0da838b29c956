"""The tools: what each is for, what it takes and gives, and what it asks of the HTTP API.

    TOOLS["submit"].act(call)

A tool asks and hands on. What is refused is refused by the API, and names the field; nothing is
decided here.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from mcp_types import ToolAnnotations
from pydantic import BaseModel

from envelopes import limits
from envelopes.strict import Refused, compact, parse
from orchestrator.http.models import In
from orchestrator.mcp import shapes
from orchestrator.mcp.asking import Api
from orchestrator.mcp.schema import request_schema
from orchestrator.mcp.waiting import Report, until_it_matters

CREATED: Final = 201
_UNFINISHED: Final = 20
"""Steps shown of a task; a plan may have ten thousand."""

_READS: Final = ToolAnnotations(read_only_hint=True, open_world_hint=False)
_ACTS: Final = ToolAnnotations(
    read_only_hint=False, destructive_hint=False, idempotent_hint=False, open_world_hint=True
)
_ENDS: Final = ToolAnnotations(
    read_only_hint=False, destructive_hint=True, idempotent_hint=True, open_world_hint=True
)
"""A first decision, or a wish to stop: it cannot be taken back, and saying it again changes
nothing more."""


@dataclass(frozen=True, slots=True)
class Call:
    """One call of a tool."""

    api: Api
    given: Mapping[str, Any]
    """The arguments as they came."""
    report: Report
    """Tell the client how far it is."""

    def read(self, model: type[In]) -> Any:
        """Read the arguments strictly, or raise Refused naming the field."""
        for name in self.given:
            if name not in model.model_fields:
                there = ", ".join(model.model_fields) or "none"
                raise Refused(name, f"there is no such argument; there are: {there}")
        text = compact(dict(self.given))
        return parse(model, text, bytes_max=limits.REQUEST_BYTES_MAX, what="arguments")


Act = Callable[[Call], Awaitable[BaseModel]]


@dataclass(frozen=True, slots=True)
class Tool:
    """One tool."""

    title: str
    description: str
    takes: dict[str, Any]
    gives: type[BaseModel]
    hints: ToolAnnotations
    act: Act


async def submit(call: Call) -> shapes.Submitted:
    """Submit a task; the API reads the request."""
    status, task = await call.api.post("/v1/tasks", call.given)
    return shapes.Submitted(
        task=task["id"],
        created=status == CREATED,
        state=task["state"],
        deadline_ms=task["deadline_ms"],
    )


async def status(call: Call) -> shapes.Status:
    """Read a task."""
    return await _status(call, call.read(shapes.OfTask).task)


async def wait(call: Call) -> shapes.Status:
    """Wait until a task has ended or a person is asked, and read it."""
    given = call.read(shapes.Wait)
    await until_it_matters(call.api, given.task, given.seconds, call.report)
    return await _status(call, given.task)


async def cancel(call: Call) -> shapes.Stopping:
    """Ask the owner of a task to stop it."""
    given = call.read(shapes.Cancel)
    _, done = await call.api.post(f"/v1/tasks/{given.task}/cancel", {"why": given.why})
    return shapes.Stopping(**done)


async def tasks(call: Call) -> shapes.TaskList:
    """List tasks."""
    given = call.read(shapes.Tasks)
    return shapes.TaskList(**await call.api.get("/v1/tasks", **given.model_dump(mode="json")))


async def letters(call: Call) -> shapes.LetterList:
    """List what waits for a person."""
    given = call.read(shapes.Letters)
    return shapes.LetterList(**await call.api.get("/v1/letters", **given.model_dump(mode="json")))


async def letter(call: Call) -> shapes.LetterSeen:
    """Read one letter."""
    found = await call.api.get(f"/v1/letters/{call.read(shapes.OfLetter).letter}")
    return shapes.LetterSeen(**{**found, "bytes_base64": None})


async def answer(call: Call) -> shapes.Decided:
    """Answer a question."""
    given = call.read(shapes.Answer)
    return await _decided(call, given.letter, {**_said(call), "verb": "answer"})


async def decide(call: Call) -> shapes.Decided:
    """Decide a letter; the API knows which verb takes what."""
    given = call.read(shapes.Decide)
    return await _decided(call, given.letter, _said(call))


async def agents(call: Call) -> shapes.AgentList:
    """List agents."""
    call.read(shapes.Nothing)
    return shapes.AgentList(**await call.api.get("/v1/agents"))


def _said(call: Call) -> dict[str, Any]:
    return {name: value for name, value in call.given.items() if name != "letter"}


async def _decided(call: Call, letter_id: str, said: Mapping[str, Any]) -> shapes.Decided:
    _, done = await call.api.post(f"/v1/letters/{letter_id}/decision", said)
    return shapes.Decided(**done)


async def _status(call: Call, task_id: str) -> shapes.Status:
    """Read a task and keep what tells how it goes."""
    task = await call.api.get(f"/v1/tasks/{task_id}")
    left = [step for step in task["steps"] if step["phase"] not in {"done", "dropped"}]
    known = {name: task[name] for name in shapes.Status.model_fields if name in task}
    return shapes.Status(
        **{
            **known,
            "task": task["id"],
            "final": task["state"] in {"completed", "partial", "aborted"},
            "steps": len(task["steps"]),
            "steps_done": sum(step["phase"] == "done" for step in task["steps"]),
            "unfinished": left[:_UNFINISHED],
            "kept": {name: one["confidence"] for name, one in task["kept"].items()},
        }
    )


def _tool(
    act: Act, title: str, gives: type[BaseModel], hints: ToolAnnotations, description: str
) -> Tool:
    takes = _TAKES[act]
    schema = request_schema() if takes is None else takes.model_json_schema()
    return Tool(title, description, schema, gives, hints, act)


_TAKES: Final[Mapping[Act, type[In] | None]] = {
    submit: None,
    status: shapes.OfTask,
    wait: shapes.Wait,
    cancel: shapes.Cancel,
    tasks: shapes.Tasks,
    letters: shapes.Letters,
    letter: shapes.OfLetter,
    answer: shapes.Answer,
    decide: shapes.Decide,
    agents: shapes.Nothing,
}

TOOLS: Final[Mapping[str, Tool]] = {
    "submit": _tool(
        submit,
        "Submit a task",
        shapes.Submitted,
        _ACTS,
        "Give a team of LLM agents a task. Returns at once with the task's id; follow it with "
        "`wait`. Required: a goal; who begins (agent, plan, planner or manager; see `agents`); a "
        "budget; a timeout; a finish line (until). It spends money up to the budget, never more. "
        "With an idempotency_key, sent twice is submitted once.",
    ),
    "status": _tool(
        status,
        "Look at a task",
        shapes.Status,
        _READS,
        "Say how a task is: state, steps, what was spent, what it waits for, and its result once "
        "it has one.",
    ),
    "wait": _tool(
        wait,
        "Wait for a task",
        shapes.Status,
        _READS,
        "Wait until a task has ended, or waits for a person (state on_desk), or the seconds are "
        "over; then say how it is, like `status`. If it is not final, call again.",
    ),
    "cancel": _tool(
        cancel,
        "Stop a task",
        shapes.Stopping,
        _ENDS,
        "Ask the owner of a task to stop it. What it has produced is kept with it.",
    ),
    "tasks": _tool(
        tasks, "List tasks", shapes.TaskList, _READS, "List tasks, the newest in front."
    ),
    "letters": _tool(
        letters,
        "List what waits for a person",
        shapes.LetterList,
        _READS,
        "List open letters: tasks that need a decision or ask a question, and messages that were "
        "set aside. Each says why, and what happens if nobody decides.",
    ),
    "letter": _tool(
        letter,
        "Read a letter",
        shapes.LetterSeen,
        _READS,
        "Read one letter with everything that is needed to decide: the story, the question and its "
        "choices, what is kept, and what may be decided (`allowed`).",
    ),
    "answer": _tool(
        answer,
        "Answer a question",
        shapes.Decided,
        _ENDS,
        "Answer what an agent asks. The task goes on with it. The first answer counts and is "
        "recorded under your name; ask your user before you answer for them.",
    ),
    "decide": _tool(
        decide,
        "Decide a letter",
        shapes.Decided,
        _ENDS,
        "Decide a letter with one of its `allowed` verbs: approve (deliver what is kept), amend "
        "(deliver `result` instead), answer, retry (with more budget, hops or time), reassign (to "
        "`agent`), abort; of a message: replay or discard. The first decision counts and is "
        "recorded under your name; ask your user before you decide for them.",
    ),
    "agents": _tool(
        agents,
        "List agents",
        shapes.AgentList,
        _READS,
        "List the agents that can be given tasks: their skills, whether a worker runs them, what "
        "waits for them, what they cost and how often they succeed.",
    ),
}
