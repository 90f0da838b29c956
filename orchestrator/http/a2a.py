"""A2A: the card, and the protocol over JSON-RPC and over HTTP+JSON.

    GET  /.well-known/agent-card.json    who we are; agents are listed for whoever shows a token
    POST /a2a                            JSON-RPC: SendMessage, GetTask, ...
    POST /a2a/message:send, ...          the same over HTTP+JSON

Both bindings do the same operations (../a2a/operations.py) and differ in their envelopes only.
Without a token, or its scope, or with too many calls, the answer is HTTP's and no envelope's.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Final

from anyio import to_thread
from fastapi import APIRouter, Depends, Request
from fastapi.responses import JSONResponse
from starlette.responses import Response

from envelopes import limits
from envelopes.strict import Refused, check_json
from orchestrator.a2a import operations, shown
from orchestrator.a2a.card import PROTOCOL, card
from orchestrator.a2a.faults import Fault, fault_of
from orchestrator.a2a.following import Following, Updates, event
from orchestrator.a2a.messages import List, Nothing, OfTask, Send, Wire, read
from orchestrator.a2a.operations import Asked
from orchestrator.http.access import Caller, identified, perhaps, require_scope
from orchestrator.http.bodies import raw_body, read_json
from orchestrator.http.live import streaming
from orchestrator.tokens import Scope

router = APIRouter(include_in_schema=False)

PATH: Final = "/a2a"
VERSION: Final = "A2A-Version"
MEDIA_TYPE: Final = "application/a2a+json"
CARD: Final = "/.well-known/agent-card.json"
Known = Annotated[Caller, Depends(identified)]
Write = Callable[[shown.Shown], bytes]

# --- the card ------------------------------------------------------------------------------------


@router.get(CARD)
def agent_card(request: Request, caller: Annotated[Caller | None, Depends(perhaps)]) -> Response:
    """Return the card, with agents for whoever may see them."""
    return JSONResponse(_card(request, caller))


def _card(request: Request, caller: Caller | None) -> dict[str, Any]:
    base = request.app.state.public_url or str(request.base_url).rstrip("/")
    seen = caller is not None and caller.token.may(Scope.READ)
    return card(f"{base}{PATH}", request.app.state.buckstop.agents() if seen else None)


# --- what both bindings do -----------------------------------------------------------------------


async def _extended(asked: Asked, _: Nothing) -> shown.Shown:
    require_scope(asked.caller, Scope.READ)
    return await to_thread.run_sync(_card, asked.http, asked.caller)


async def _no_push(_: Asked, __: Nothing) -> shown.Shown:
    raise operations.push_fault()


async def _stream(asked: Asked, sent: Send, write: Write) -> Response:
    """Send a message, and stream what comes of it."""
    task = await asked.task(await operations.send(asked, sent))
    following = Following(asked.live, task.id)
    updates = Updates(following, asked.letter, write, after=task.version - 1)
    return streaming(asked.http, asked.caller, updates)


async def _subscribe(asked: Asked, wanted: OfTask, write: Write) -> Response:
    """Stream what comes of a task that was sent before."""
    task = await asked.task(wanted.id)
    if task.final:
        raise Fault("UNSUPPORTED_OPERATION", f"the task is {task.state}: nothing comes; get it")
    following = Following(asked.live, task.id)
    updates = Updates(following, asked.letter, write, after=task.version - 1, stays=True)
    return streaming(asked.http, asked.caller, updates)


Unary = Callable[[Asked, Any], Awaitable[shown.Shown]]
Streamed = Callable[[Asked, Any, Write], Awaitable[Response]]
UNARY: Final[Mapping[str, tuple[type[Wire], Unary]]] = {
    "SendMessage": (Send, operations.sent_and_waited),
    "GetTask": (OfTask, operations.get),
    "ListTasks": (List, operations.listed),
    "CancelTask": (OfTask, operations.cancel),
    "GetExtendedAgentCard": (Nothing, _extended),
    "CreateTaskPushNotificationConfig": (Nothing, _no_push),
    "GetTaskPushNotificationConfig": (Nothing, _no_push),
    "ListTaskPushNotificationConfigs": (Nothing, _no_push),
    "DeleteTaskPushNotificationConfig": (Nothing, _no_push),
}
STREAMED: Final[Mapping[str, tuple[type[Wire], Streamed]]] = {
    "SendStreamingMessage": (Send, _stream),
    "SubscribeToTask": (OfTask, _subscribe),
}


def _require_version(request: Request) -> None:
    """Raise Fault where a client speaks another version; one that says none speaks 0.3."""
    said = request.headers.get(VERSION, "0.3")
    if said.partition(".")[0] != PROTOCOL.partition(".")[0]:
        why = f"this speaks A2A {PROTOCOL}, not {said[:20]}; send the header {VERSION}: {PROTOCOL}"
        raise Fault("VERSION_NOT_SUPPORTED", why)


# --- JSON-RPC ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Call:
    """One call as JSON-RPC writes it."""

    id: str | int | None
    method: str
    params: Any

    def answer(self, **said: Any) -> dict[str, Any]:
        """Return a response to it."""
        return {"jsonrpc": "2.0", "id": self.id, **said}


@router.post(PATH)
async def rpc(request: Request, caller: Known) -> Response:
    """Answer one call."""
    raw = await raw_body(request, limits.REQUEST_BYTES_MAX)
    call = Call(None, "", None)
    try:
        call = await to_thread.run_sync(_call, raw)
        _require_version(request)
        return await _called(Asked(request, caller), call)
    except Exception as error:  # noqa: BLE001 -- told apart, and raised again where none of A2A's
        return JSONResponse(call.answer(error=fault_of(error).as_rpc()))


async def _called(asked: Asked, call: Call) -> Response:
    if call.method in STREAMED:
        model, act = STREAMED[call.method]
        params = await to_thread.run_sync(read, model, call.params)
        return await act(asked, params, lambda update: event(call.answer(result=update)))
    if call.method not in UNARY:
        there = ", ".join((*UNARY, *STREAMED))
        raise Fault("METHOD_NOT_FOUND", f"no method {call.method[:80]!r}; there are: {there}")
    takes, do = UNARY[call.method]
    params = await to_thread.run_sync(read, takes, call.params)
    return JSONResponse(call.answer(result=await do(asked, params)))


def _call(raw: bytes) -> Call:
    """Read a call, or raise Fault."""
    try:
        said = check_json(raw, bytes_max=limits.REQUEST_BYTES_MAX, what="body")
    except Refused as wrong:
        raise Fault("PARSE_ERROR", str(wrong)) from None
    if not isinstance(said, dict) or said.get("jsonrpc") != "2.0":
        raise Fault("INVALID_REQUEST", 'send one object with "jsonrpc": "2.0", no batch')
    call_id, method = said.get("id"), said.get("method")
    if not isinstance(method, str) or isinstance(call_id, bool | float | dict | list):
        raise Fault("INVALID_REQUEST", "method is a text, id is a text or a whole number")
    if isinstance(call_id, str) and len(call_id) > limits.A2A_ID_CHARS_MAX:
        # It stands in every answer, and in each event of a stream.
        raise Fault("INVALID_REQUEST", f"id: at most {limits.A2A_ID_CHARS_MAX} characters")
    return Call(call_id, method, said.get("params", {}))


# --- HTTP+JSON -----------------------------------------------------------------------------------


def _act(operation: str, caller: Caller, request: Request, params: Any) -> Awaitable[Response]:
    return _over_http(Asked(request, caller), operation, params)


async def _over_http(asked: Asked, operation: str, params: Any) -> Response:
    """Do an operation, and answer as HTTP+JSON does."""
    try:
        _require_version(asked.http)
        if operation in STREAMED:
            model, act = STREAMED[operation]
            return await act(asked, await to_thread.run_sync(read, model, params), event)
        takes, do = UNARY[operation]
        done = await do(asked, await to_thread.run_sync(read, takes, params))
        return JSONResponse(done, media_type=MEDIA_TYPE)
    except Exception as error:  # noqa: BLE001 -- told apart, and raised again where none of A2A's
        fault = fault_of(error)
        return JSONResponse(fault.as_http(), fault.status)


async def _body(request: Request) -> Any:
    raw = await raw_body(request, limits.REQUEST_BYTES_MAX, also=MEDIA_TYPE)
    return await to_thread.run_sync(read_json, raw)


@router.post(f"{PATH}/message:send")
async def send_message(request: Request, caller: Known) -> Response:
    """Send a message."""
    return await _act("SendMessage", caller, request, await _body(request))


@router.post(f"{PATH}/message:stream")
async def stream_message(request: Request, caller: Known) -> Response:
    """Send a message, and stream what comes of it."""
    return await _act("SendStreamingMessage", caller, request, await _body(request))


@router.api_route(f"{PATH}/tasks/{{task_id}}:subscribe", methods=["GET", "POST"])
async def subscribe(request: Request, task_id: str, caller: Known) -> Response:
    """Stream what comes of a task."""
    return await _act("SubscribeToTask", caller, request, {"id": task_id})


@router.post(f"{PATH}/tasks/{{task_id}}:cancel")
async def cancel_task(request: Request, task_id: str, caller: Known) -> Response:
    """Ask for a task to be stopped."""
    return await _act("CancelTask", caller, request, {"id": task_id})


@router.get(f"{PATH}/tasks/{{task_id}}")
async def get_task(request: Request, task_id: str, caller: Known) -> Response:
    """Return a task."""
    return await _act("GetTask", caller, request, {**_query(request), "id": task_id})


@router.get(f"{PATH}/tasks")
async def list_tasks(request: Request, caller: Known) -> Response:
    """List tasks."""
    return await _act("ListTasks", caller, request, _query(request))


@router.get(f"{PATH}/extendedAgentCard")
async def extended_card(request: Request, caller: Known) -> Response:
    """Return the card with agents."""
    return await _act("GetExtendedAgentCard", caller, request, {})


@router.api_route(f"{PATH}/tasks/{{task_id}}/pushNotificationConfigs", methods=["GET", "POST"])
async def push_configs(request: Request, task_id: str, caller: Known) -> Response:
    """Say that nothing is pushed."""
    del task_id
    return await _act("CreateTaskPushNotificationConfig", caller, request, {})


def _query(request: Request) -> dict[str, Any]:
    """Read a query as the values that the same fields have in JSON."""
    words = {"true": True, "false": False}
    return {
        name: int(text) if _is_number(text) else words.get(text, text)
        for name, text in request.query_params.items()
    }


def _is_number(text: str) -> bool:
    """Say whether a text is a whole number that JSON could have; a longer one stays a text."""
    return text.isascii() and text.isdecimal() and len(text) <= limits.JSON_DIGITS_MAX
