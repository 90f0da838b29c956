"""A2A with the official client, against a real `buckstop up`, by both of its bindings."""

import json
import os
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any, TypeVar
from uuid import uuid4

import httpx
import pytest
from a2a.client.client import Client
from a2a.client.errors import A2AClientError
from a2a.types import (
    CancelTaskRequest,
    GetExtendedAgentCardRequest,
    GetTaskRequest,
    ListTasksRequest,
    SendMessageRequest,
    SubscribeToTaskRequest,
    TaskPushNotificationConfig,
    TaskState,
)
from a2a.utils.errors import (
    A2AError,
    ContentTypeNotSupportedError,
    InvalidParamsError,
    PushNotificationNotSupportedError,
    TaskNotCancelableError,
    TaskNotFoundError,
    UnsupportedOperationError,
)

from orchestrator.a2a.declared import read_defaults
from orchestrator.settings import SettingsError
from tests.conftest import Fresh
from tests.editor import BUCKSTOP, Place, run
from tests.pages import block, commands
from tests.peer import BINDINGS, BOUNDS, card_of, peer, plain, says, sent
from tests.until import PATIENCE_S
from tests.web import running

ALL = ("submit", "read", "decide")
GREET = {"agent": "greet", **BOUNDS}
STATE = TaskState.Name
T = TypeVar("T")


@pytest.fixture(scope="module")
def token(place: Place) -> str:
    return place.token("ada", *ALL)


def new() -> str:
    return uuid4().hex


def asking(
    place: Place, act: Callable[[Client], Awaitable[Any]], *peer_of: str, **more: Any
) -> Any:
    """Do something as a client that shows this token."""

    async def connected() -> Any:
        async with peer(place.api, *peer_of, **more) as client:
            return await act(client)

    return run(connected)


# --- send ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("binding", BINDINGS)
def test_a_message_is_a_task_and_its_result_an_artifact(
    place: Place, token: str, binding: str
) -> None:
    """The issue: "an A2A agent card and endpoint so that A2A clients can send tasks"."""

    async def act(client: Client) -> Any:
        task = await sent(client, says("hi", said=GREET, message_id=new(), context_id="trip"))
        return task, await client.get_task(GetTaskRequest(id=task.id))

    task, again = asking(place, act, token, binding)
    assert STATE(task.status.state) == "TASK_STATE_COMPLETED"
    assert (task.context_id, task.history[0].parts[0].text) == ("trip", "hi")
    (artifact,) = plain(task)["artifacts"]
    assert artifact["parts"] == [{"data": {"said": "hello: hi"}, "mediaType": "application/json"}]
    assert artifact["metadata"]["buckstop"]["confidence"] == 0.9
    assert plain(again) == plain(task)


@pytest.mark.parametrize("binding", BINDINGS)
def test_a_question_comes_as_input_required_and_a_message_answers_it(
    place: Place, token: str, binding: str
) -> None:
    """The brief: a message sent to an input-required task answers it, by the token's name."""
    question, answer = says("p", said={**GREET, "agent": "paint"}, message_id=new()), new()

    async def act(client: Client) -> Any:
        asked = [plain(each) async for each in client.send_message(question)]
        task = asked[0]["task"]["id"]
        said = says("red", message_id=answer, task_id=task)
        return asked, [plain(each) async for each in client.send_message(said)]

    asked, ended = asking(place, act, token, binding, streaming=True)
    last = asked[-1].get("statusUpdate", asked[-1].get("task"))["status"]
    assert last["state"] == "TASK_STATE_INPUT_REQUIRED"
    assert last["message"]["parts"] == [
        {"text": "which colour?"},
        {"data": {"choices": ["red", "blue"]}},
    ]
    assert "task" in asked[0]
    assert "task" in ended[0]
    if len(ended) > 1:  # else it had ended before anybody looked
        assert ended[-2]["artifactUpdate"]["artifact"]["parts"][0]["data"] == {"painted": "red"}
        assert ended[-1]["statusUpdate"]["status"]["state"] == "TASK_STATE_COMPLETED"
    letter = httpx.get(
        f"{place.api}/v1/letters/{asked[0]['task']['id']}.1",
        headers={"Authorization": f"Bearer {token}"},
        timeout=PATIENCE_S,
    ).json()
    assert (letter["verb"], letter["by"]) == ("answer", "ada")
    assert letter["decided_why"] == f"A2A message {answer}"


def test_who_does_not_wait_has_the_task_at_once_and_may_stop_it(place: Place, token: str) -> None:
    """The brief: "message/send (blocking and not)", "tasks/cancel"."""

    async def act(client: Client) -> Any:
        request = says("never", said={**GREET, "agent": "patient"}, message_id=new(), at_once=True)
        task = await sent(client, request)
        with pytest.raises(UnsupportedOperationError, match="at work"):
            await sent(client, says("more", message_id=new(), task_id=task.id))
        stopped = await client.cancel_task(CancelTaskRequest(id=task.id))
        with pytest.raises(TaskNotCancelableError, match="aborted already"):
            await client.cancel_task(CancelTaskRequest(id=task.id))
        with pytest.raises(UnsupportedOperationError, match="leave taskId out"):
            await sent(client, says("more", message_id=new(), task_id=task.id))
        return task, stopped

    task, stopped = asking(place, act, token)
    assert STATE(task.status.state) in {"TASK_STATE_SUBMITTED", "TASK_STATE_WORKING"}
    assert STATE(stopped.status.state) == "TASK_STATE_CANCELED"


def test_a_message_sent_again_is_the_same_task(place: Place, token: str) -> None:
    """The brief: "a repeated messageId is the same task"."""
    name = new()

    async def act(client: Client) -> Any:
        ids = [(await sent(client, says("hi", said=GREET, message_id=name))).id for _ in range(2)]
        with pytest.raises(InvalidParamsError, match="used for another request"):
            await sent(client, says("else", said=GREET, message_id=name))
        return ids

    first, second = asking(place, act, token)
    assert first == second
    bob = place.token("bob", *ALL)

    async def other(client: Client) -> str:
        return (await sent(client, says("hi", said=GREET, message_id=name))).id

    assert asking(place, other, bob) != first


def test_an_answer_sent_again_is_not_the_answer_to_the_next_question(
    place: Place, token: str
) -> None:
    """Whoever repeats a message whose reply was lost has said nothing new."""

    async def act(client: Client) -> Any:
        task = await sent(
            client, says("go", said={**GREET, "agent": "interview"}, message_id=new())
        )
        one, two = (says(text, message_id=new(), task_id=task.id) for text in ("one", "two"))
        asks = await sent(client, one)
        again = await sent(client, one)
        return asks, again, await sent(client, two)

    asks, again, ended = asking(place, act, token)
    assert asks.status.message.parts[0].text == "question 2?"
    assert plain(again) == plain(asks)
    assert plain(ended)["artifacts"][0]["parts"][0]["data"] == ["one", "two"]


# --- states --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("said", "state", "words"),
    [
        ({"agent": "half"}, "TASK_STATE_COMPLETED", "partial"),
        ({"agent": "unsure", "at_cap": "abort"}, "TASK_STATE_FAILED", "aborted"),
        ({"agent": "unsure", "at_cap": "escalate"}, "TASK_STATE_INPUT_REQUIRED", "approve"),
    ],
)
def test_states_are_told_as_a2a_names_them(
    place: Place, token: str, said: dict[str, Any], state: str, words: str
) -> None:
    """DESIGN § Words: "submitted, working, input-required (on the desk), completed, failed"."""

    async def act(client: Client) -> Any:
        return await sent(client, says("x", said={**GREET, **said}, message_id=new()))

    task = asking(place, act, token)
    assert STATE(task.status.state) == state
    assert words in task.status.message.parts[0].text


def test_what_waits_for_a_decision_takes_no_answer_and_a_refusal_is_rejected(
    place: Place, token: str
) -> None:
    async def act(client: Client) -> Any:
        said = {**GREET, "agent": "unsure", "at_cap": "escalate"}
        task = await sent(client, says("x", said=said, message_id=new()))
        with pytest.raises(UnsupportedOperationError, match=f"/v1/letters/{task.id}.1/decision"):
            await sent(client, says("fine", message_id=new(), task_id=task.id))
        place.call("decide", f"{task.id}.1", "abort")
        return await client.get_task(GetTaskRequest(id=task.id))

    task = asking(place, act, token)
    assert STATE(task.status.state) == "TASK_STATE_REJECTED"
    assert task.artifacts[0].name == "kept, no answer"


# --- what is refused -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("request_", "error", "says_"),
    [
        (says("hi", said={"agent": "greet"}), InvalidParamsError, r'buckstop.budget: .*"tokens"'),
        (says("hi"), InvalidParamsError, "metadata.buckstop.budget"),
        (says("hi", said={**GREET, "hops": 3}), InvalidParamsError, "metadata.buckstop.hops: "),
        (says("hi", said={**GREET, "goal": "x"}), InvalidParamsError, "the text parts are it"),
        (says({"data": {"a": 1}}, said=GREET), InvalidParamsError, "the text is the task's goal"),
        (says("hi", {"raw": "aGk="}, said=GREET), ContentTypeNotSupportedError, "the file's url"),
        (says("hi", {"data": 1}, said={**GREET, "input": 2}), InvalidParamsError, "one of the two"),
        (says("hi", {"filename": "a"}, said=GREET), InvalidParamsError, "one of text, data"),
        (says("hi", task_id="none"), TaskNotFoundError, "no task 'none'"),
        (says("hi", task_id="../x"), InvalidParamsError, "message.taskId"),
        (says("hi", said=GREET, message_id="m" * 200), InvalidParamsError, "message.messageId"),
    ],
)
def test_a_refusal_says_what_to_send(
    place: Place, token: str, request_: SendMessageRequest, error: type[A2AError], says_: str
) -> None:
    """The brief: "No finish line, no submit ... InvalidParams error that says what to send"."""

    async def act(client: Client) -> None:
        with pytest.raises(error, match=says_):
            await sent(client, request_)

    asking(place, act, token)


@pytest.mark.parametrize("binding", BINDINGS)
def test_nothing_is_pushed_and_that_is_said(place: Place, token: str, binding: str) -> None:
    """The card: pushNotifications is false."""

    async def act(client: Client) -> None:
        config = TaskPushNotificationConfig(task_id="a", url="https://example.com")
        with pytest.raises(PushNotificationNotSupportedError, match="stream instead"):
            await client.create_task_push_notification_config(config)
        request = says("hi", said=GREET, message_id=new())
        request.configuration.task_push_notification_config.CopyFrom(config)
        with pytest.raises(PushNotificationNotSupportedError):
            await sent(client, request)

    asking(place, act, token, binding)


def rpc(place: Place, token: str, body: Any, version: str | None = "1.0") -> httpx.Response:
    """Call without the client's help."""
    headers = {"Authorization": f"Bearer {token}", **({"A2A-Version": version} if version else {})}
    return httpx.post(f"{place.api}/a2a", json=body, headers=headers, timeout=PATIENCE_S)


GET = {"jsonrpc": "2.0", "id": 7, "method": "GetTask", "params": {"id": "none"}}


@pytest.mark.parametrize(
    ("body", "version", "code"),
    [
        (GET, "1.0", -32001),
        (GET, None, -32009),
        (GET, "0.3.0", -32009),
        ({**GET, "method": "message/send"}, "1.0", -32601),
        ({**GET, "params": {"id": 5}}, "1.0", -32602),
        ({**GET, "params": {"id": "none", "historyLength": None}}, "1.0", -32001),
        ({**GET, "params": [1]}, "1.0", -32602),
        ({**GET, "id": {}}, "1.0", -32600),
        ([GET], "1.0", -32600),
        ({"id": 1}, "1.0", -32600),
    ],
)
def test_json_rpc_is_answered_by_its_rules(
    place: Place, token: str, body: Any, version: str | None, code: int
) -> None:
    answer = rpc(place, token, body, version)
    assert answer.status_code == 200
    told = answer.json()
    assert (told["jsonrpc"], told["error"]["code"]) == ("2.0", code), told
    assert told["error"]["message"]
    assert told["id"] == (7 if isinstance(body, dict) and body.get("id") == 7 else None)


@pytest.mark.parametrize("kind", ["application/json", "application/a2a+json; charset=utf-8"])
def test_http_json_is_taken_under_its_own_name_too(place: Place, token: str, kind: str) -> None:
    """A2A, HTTP+JSON: bodies are application/a2a+json, as our answers are."""
    message = {"messageId": new(), "role": "ROLE_USER", "parts": [{"text": "hi"}]}
    body = {"message": {**message, "metadata": {"buckstop": GREET}}}
    headers = {"Authorization": f"Bearer {token}", "A2A-Version": "1.0", "Content-Type": kind}
    url = f"{place.api}/a2a/message:send"
    answer = httpx.post(url, content=json.dumps(body), headers=headers, timeout=60)
    assert answer.status_code == 200, answer.text
    assert answer.headers["Content-Type"] == "application/a2a+json"
    assert answer.json()["task"]["status"]["state"] == "TASK_STATE_COMPLETED"
    other = httpx.post(url, content=json.dumps(body), headers={**headers, "Content-Type": "text/x"})
    assert other.status_code == 415


def test_a_refusal_names_the_field_for_programs(place: Place, token: str) -> None:
    message = {"messageId": new(), "role": "ROLE_USER", "parts": [{"text": "hi"}]}
    call = {**GET, "method": "SendMessage", "params": {"message": message}}
    details = rpc(place, token, call).json()["error"]["data"]
    assert details[0]["reason"] == "INVALID_PARAMS"
    assert details[1]["fieldViolations"][0]["field"] == "message.metadata.buckstop.budget"


# --- who may what --------------------------------------------------------------------------------


def test_tokens_do_what_their_scopes_say_and_see_their_tenant_only(place: Place) -> None:
    """The brief: "Tenants/scopes/rate by token as elsewhere"."""
    reader, submitter = place.token("r", "read"), place.token("s", "submit", "read")
    north, south = (place.token(name, *ALL, tenant=name) for name in ("north", "south"))
    paint = says("p", said={**GREET, "agent": "paint"}, message_id=new())

    async def reads(client: Client) -> None:
        with pytest.raises(A2AClientError, match="403"):
            await sent(client, paint)

    async def submits(client: Client) -> None:
        task = await sent(client, paint)
        with pytest.raises(A2AClientError, match="403"):
            await sent(client, says("red", message_id=new(), task_id=task.id))

    async def ours(client: Client) -> str:
        return (await sent(client, says("hi", said=GREET, message_id=new()))).id

    task = asking(place, ours, north)

    async def theirs(client: Client) -> Any:
        with pytest.raises(TaskNotFoundError):
            await client.get_task(GetTaskRequest(id=task))
        with pytest.raises(TaskNotFoundError):
            await client.cancel_task(CancelTaskRequest(id=task))
        return (await client.list_tasks(ListTasksRequest())).tasks

    asking(place, reads, reader)
    asking(place, submits, submitter)
    assert list(asking(place, theirs, south)) == []
    wrong = rpc(place, f"bk_{'0' * 12}_{'x' * 43}", GET)
    assert (wrong.status_code, wrong.headers["WWW-Authenticate"][:6]) == (401, "Bearer")


def test_the_card_tells_strangers_how_to_talk_to_us_and_readers_who_is_there(
    place: Place, token: str
) -> None:
    """The brief: "skills from the registered agents/skills; security schemes bearer"."""
    card = run(lambda: card_of(place.api))
    assert [each.protocol_binding for each in card.supported_interfaces] == list(BINDINGS)
    assert {each.url for each in card.supported_interfaces} == {f"{place.api}/a2a"}
    assert card.security_schemes["token"].http_auth_security_scheme.scheme == "bearer"
    assert (card.capabilities.streaming, card.capabilities.push_notifications) == (True, False)
    assert [each.id for each in card.skills] == ["task"]
    assert "agent.greet" in [each.id for each in run(lambda: card_of(place.api, token)).skills]

    async def extended(client: Client) -> Any:
        return await client.get_extended_agent_card(GetExtendedAgentCardRequest())

    for binding in BINDINGS:
        found = asking(place, extended, token, binding)
        assert "agent.paint" in [each.id for each in found.skills]


# --- lists and streams ---------------------------------------------------------------------------


@pytest.mark.parametrize("binding", BINDINGS)
def test_tasks_are_listed_by_context_and_state_page_by_page(place: Place, binding: str) -> None:
    """The brief: "tasks/list if in the spec"."""
    tenant = f"list-{binding[:4].lower()}"
    token = place.token(tenant, *ALL, tenant=tenant)

    async def act(client: Client) -> Any:
        made = [
            (await sent(client, says("hi", said=GREET, message_id=new(), context_id=context))).id
            for context in ("a", "b", "a")
        ]
        pages, page = [], ""
        while not pages or page:
            wanted = ListTasksRequest(page_size=1, page_token=page, context_id="a")
            answer = await client.list_tasks(wanted)
            page = answer.next_page_token
            pages.append([each.id for each in answer.tasks])
        done = TaskState.TASK_STATE_COMPLETED
        full = await client.list_tasks(ListTasksRequest(status=done, include_artifacts=True))
        none = await client.list_tasks(ListTasksRequest(status=TaskState.TASK_STATE_WORKING))
        with pytest.raises(InvalidParamsError, match="nextPageToken"):
            await client.list_tasks(ListTasksRequest(page_token="x"))
        return made, [one for page in pages for one in page], full, none

    made, of_a, full, none = asking(place, act, token, binding)
    assert of_a == [made[2], made[0]]
    assert [each.id for each in full.tasks] == made[::-1]
    assert all(each.artifacts for each in full.tasks)
    assert list(none.tasks) == []


def test_a_stream_is_taken_up_again_after_the_api_was_killed(place: Place, token: str) -> None:
    """The brief: "incl. streaming over a restart": the task needs nobody who listens."""
    flag = place.folder / "go"
    request = says(str(flag), said={**GREET, "agent": "patient"}, message_id=new())

    async def begin(client: Client) -> list[str]:
        return [each.task.id async for each in killing(place, client.send_message(request))]

    async def resume(client: Client) -> list[dict[str, Any]]:
        told = []
        async for each in client.subscribe(SubscribeToTaskRequest(id=task)):
            told.append(plain(each))
            flag.touch()
        with pytest.raises(UnsupportedOperationError, match="nothing comes"):
            await anext(aiter(client.subscribe(SubscribeToTaskRequest(id=task))))
        return told

    task = asking(place, begin, token, streaming=True)[0]
    told = asking(place, resume, token, streaming=True)
    assert told[0]["task"]["id"] == task
    assert told[-1]["statusUpdate"]["status"]["state"] == "TASK_STATE_COMPLETED"


async def killing(place: Place, stream: AsyncIterator[T]) -> AsyncIterator[T]:
    """Kill the API once the stream has begun, which breaks it; `up` starts the API again."""
    yield await anext(stream)
    place.kill("http-1")
    with pytest.raises(A2AClientError, match="Network communication error"):
        _ = [each async for each in stream]  # what was on its way by then


# --- what the operator declares ------------------------------------------------------------------

DECLARED = """
"*":
  agent: greet
  budget: {tokens: 500}
  timeout: 5m
  until: {kind: plan_done}
write:
  budget: {tokens: 9000}
"""


def test_an_operator_may_declare_what_messages_leave_out(fresh: Fresh, tmp_path: Path) -> None:
    """The brief: "the operator declares defaults per agent/deployment"."""
    (tmp_path / "a2a.yaml").write_text(DECLARED)
    with running(fresh, {"BUCKSTOP_A2A_DEFAULTS": str(tmp_path / "a2a.yaml")}) as web:
        here = Place(tmp_path, web.url)
        wishes = ({}, {"agent": "write"}, {"agent": "write", "budget": {"calls": 3}})

        async def act(client: Client) -> list[str]:
            return [
                (await sent(client, says("x", said=said, message_id=new(), at_once=True))).id
                for said in wishes
            ]

        ids = asking(here, act, token := web.token())
        headers = {"Authorization": f"Bearer {token}"}
        seen = [
            httpx.get(f"{web.url}/v1/tasks/{each}", headers=headers, timeout=PATIENCE_S).json()
            for each in ids
        ]
    made = [each["request"] for each in seen]
    assert [each["agent"] for each in made] == ["greet", "write", "write"]
    assert [each["budget"]["tokens"] for each in made] == [500, 9000, None]
    assert made[2]["budget"]["calls"] == 3


@pytest.mark.parametrize(
    ("text", "says_"),
    [
        (None, "cannot be read"),
        ("a: [", "cannot be read"),
        ("- a", "each with its fields"),
        ("greet: {hops: 3}", "'hops' is no field"),
        ("greet: {goal: x}", "'goal' is no field"),
    ],
)
def test_a_wrong_declaration_is_told_at_the_start(
    tmp_path: Path, text: str | None, says_: str
) -> None:
    file = tmp_path / "a2a.yaml"
    if text is not None:
        file.write_text(text)
    with pytest.raises(SettingsError, match=says_):
        read_defaults({"BUCKSTOP_A2A_DEFAULTS": str(file)})


def test_up_refuses_a_wrong_declaration_before_it_starts_anything(tmp_path: Path) -> None:
    (tmp_path / "a2a.yaml").write_text("greet: {hops: 3}")
    done = subprocess.run(
        [BUCKSTOP, "up"],
        cwd=tmp_path,
        env={**os.environ, "BUCKSTOP_A2A_DEFAULTS": "a2a.yaml"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert "a2a.yaml: greet: 'hops' is no field to declare; those of a request are" in done.stderr


# --- the page ------------------------------------------------------------------------------------

PAGE = "docs/how-to/a2a.md"
FOUND = "what my model says about the otters of the Elbe"


def test_the_pages_first_message_is_answered_with_a_result(place: Place) -> None:
    """docs/how-to/a2a.md: "The answer comes when the task has ended"."""
    (place.folder / "message.json").write_text(block(PAGE, '{\n  "jsonrpc"'))
    (token,), (send,) = (commands(block(PAGE, one)) for one in ("$ TOKEN=", "$ curl"))
    script = f"{token}\n{send.replace('http://127.0.0.1:8780', place.api)}"
    path = f"{Path(BUCKSTOP).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-ec", script],
        cwd=place.folder,
        env={**os.environ, "PATH": path},
        capture_output=True,
        text=True,
        check=True,
    )
    (artifact,) = json.loads(done.stdout)["result"]["task"]["artifacts"]
    assert artifact["parts"][0]["data"] == {"found": FOUND}


def test_the_pages_client_prints_what_it_is_told(
    place: Place, token: str, capsys: pytest.CaptureFixture[str]
) -> None:
    code = block(PAGE, "import asyncio")
    code = code.replace("http://127.0.0.1:8780", place.api).replace("bk_...", token)
    exec(compile(code, PAGE, "exec"), {"__name__": "__main__"})
    assert FOUND in capsys.readouterr().out


def test_the_pages_declaration_is_read_under_the_name_it_gives(tmp_path: Path) -> None:
    (tmp_path / "a2a.yaml").write_text(block(PAGE, '"*":'))
    (start,) = commands(block(PAGE, "$ BUCKSTOP_A2A"))
    name, _, file = start.split(" ")[0].partition("=")
    found = read_defaults({name: str(tmp_path / file)})
    assert (found["*"]["agent"], found["write"]["timeout"]) == ("research", "1h")
