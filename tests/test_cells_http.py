"""The API of several cells, on real servers: one door in front of all of them."""

import json
from collections.abc import Iterator
from typing import Any

import httpx

from envelopes import Envelope
from envelopes.envelope import Question, Status
from tests.hands import Hand
from tests.several import KEYS, TASK, TENANTS, Several, orchestrated, served, work
from tests.until import until


def submitted(caller: httpx.Client, cell: str, **more: Any) -> dict[str, Any]:
    answer = caller.post("/v1/tasks", json={**TASK, "tenant": TENANTS[cell], **more})
    assert answer.status_code == 201, answer.text
    task: dict[str, Any] = answer.json()
    assert task["cell"] == cell
    return task


def test_one_door_in_front_of_all_cells(several: Several) -> None:
    """Promise: "HTTP API (field `cell` where several)", for tasks, lists, figures and letters."""
    late = {"timeout": 0.001, "at_cap": "escalate"}
    with served(several) as caller, orchestrated(several, "east", "west"):
        east, west = submitted(caller, "east"), submitted(caller, "west")
        work(several, "east")
        work(several, "west")
        listed = caller.get("/v1/tasks").json()
        assert {one["id"]: one["cell"] for one in listed["items"]} == {
            east["id"]: "east",
            west["id"]: "west",
        }
        assert listed["missing"] == []
        page = caller.get("/v1/tasks", params={"limit": 1}).json()
        rest = caller.get("/v1/tasks", params={"limit": 1, "cursor": page["next"]}).json()
        both = [one["id"] for one in (*page["items"], *rest["items"])]
        assert both == [one["id"] for one in listed["items"]], "their states go on meanwhile"
        assert caller.get(f"/v1/tasks/{west['id']}/journal").json()["items"]
        submitted(caller, "west", **late)
        letters = until("it is on the desk", lambda: caller.get("/v1/letters").json()["items"])
        assert letters[0]["cell"] == "west"
        said = {"verb": "abort"}
        decided = caller.post(f"/v1/letters/{letters[0]['id']}/decision", json=said)
        assert decided.status_code == 200, decided.text
        cells = caller.get("/v1/cells").json()["items"]
        assert [(one["cell"], one["home"], one["away"]) for one in cells] == [
            ("east", True, None),
            ("west", False, None),
        ]
        assert caller.get("/readyz").json()["notes"] == []
        assert 'buckstop_cell_up{cell="west"} 1.0' in caller.get("/metrics").text


def test_a_cell_that_is_away_is_named_and_others_answer(several: Several) -> None:
    """Promise: "503 with which cell and Retry-After"; "lists say which cells are missing"."""
    with served(several) as caller:
        east, west = submitted(caller, "east"), submitted(caller, "west")
        several.servers["west"].kill()
        refused = caller.post("/v1/tasks", json={**TASK, "tenant": TENANTS["west"]})
        assert (refused.status_code, refused.json()["cells"]) == (503, ["west"])
        assert refused.headers["Retry-After"]
        assert "cell west does not answer" in refused.json()["detail"]
        submitted(caller, "east")
        listed = caller.get("/v1/tasks")
        assert listed.json()["missing"] == ["west"]
        assert listed.headers["Buckstop-Missing"] == "west"
        assert {one["cell"] for one in listed.json()["items"]} == {"east"}
        assert caller.get(f"/v1/tasks/{east['id']}").status_code == 200
        assert caller.get(f"/v1/tasks/{west['id']}").status_code == 503
        assert caller.get("/v1/tasks/nobody").status_code == 503, "it may be in west"
        assert caller.get("/v1/overview").json()["missing"] == ["west"]
        assert "west" in caller.get("/metrics").text


def test_a_question_is_answered_in_its_cell_by_whoever_has_the_address(several: Several) -> None:
    """Promise: "wait tokens": an address says nothing of its cell, and is found in it."""
    asks = Envelope(
        status=Status.PARTIAL, reason="which?", ask=Question(text="Which?", choices=("a", "b"))
    )
    with served(several) as caller, orchestrated(several, "east", "west"):
        task = submitted(caller, "west")
        with several.client("west") as client:
            hand = Hand(client, KEYS, "greet")
            jobs = until("it is handed out", hand.take)
            hand.answer(jobs[0], asks)
        path = f"/v1/tasks/{task['id']}"
        letter = until("it is on the desk", lambda: caller.get(path).json()["letter"])
        made = caller.post(f"/v1/letters/{letter}/wait-token", json={})
        assert made.status_code == 201, made.text
        address = f"/waits/{made.json()['token']}"
        assert caller.get(address).json()["choices"] == ["a", "b"]
        assert caller.post(address, json={"answer": "a"}).status_code == 200
        assert caller.post(address, json={"answer": "b"}).status_code == 410
        assert caller.get(f"/waits/{'x' * 43}").status_code == 404


def test_tokens_are_known_while_home_is_away(several: Several) -> None:
    """A token is looked up at home, and where that is away in the next cell."""
    with served(several) as caller:
        several.servers["east"].kill()
        assert caller.get("/v1/tasks").json()["missing"] == ["east"]
        submitted(caller, "west")


def test_live_events_come_from_all_cells_and_go_on_behind_a_place(several: Several) -> None:
    """Promise: "news/live events merged; Last-Event-ID carries a place per cell"."""
    with served(several) as caller:
        stream: dict[str, Any] = {"kinds": "task.accepted", "for_s": 60}
        with caller.stream("GET", "/v1/events", params=stream) as answer:
            events = accepted(answer)
            first = submitted(caller, "east")
            place_told, told = next(events)
            assert (told["task"], told["cell"]) == (first["id"], "east")
        missed = [submitted(caller, cell)["id"] for cell in ("west", "east", "west")]
        several.servers["west"].kill()
        place = {"Last-Event-ID": place_told}
        with caller.stream("GET", "/v1/events", params=stream, headers=place) as answer:
            events = accepted(answer)
            assert next(events)[1]["task"] == missed[1]
            several.servers["west"].restart()
            back = [next(events) for _ in range(2)]
            assert [told["task"] for _, told in back] == [missed[0], missed[2]]
        with caller.stream("GET", "/v1/events?after=x") as answer:
            assert answer.status_code == 422
        last = {"after": back[0][0], **stream}
        with caller.stream("GET", "/v1/events", params=last) as answer:
            assert next(accepted(answer))[1]["task"] == missed[2], "and east is not told again"


def accepted(answer: httpx.Response) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the place and the data of each task that was accepted."""
    assert answer.status_code == 200
    place, event = "", ""
    for line in answer.iter_lines():
        name, _, value = line.partition(": ")
        if name == "id":
            place = value
        elif name == "event":
            event = value
        elif name == "data" and event == "task.accepted":
            yield place, json.loads(value)
