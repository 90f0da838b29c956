"""What strangers write at the ways in that came last, where it once was more than a refusal."""

import re
from pathlib import Path
from typing import Any

import httpx
import pytest

from orchestrator.flower import LOGIN, ensure_login
from tests.editor import Place
from tests.until import until


@pytest.fixture(scope="module")
def token(place: Place) -> str:
    return place.token("ada", "submit", "read")


def ask(place: Place, token: str, method: str, path: str, **more: Any) -> httpx.Response:
    headers = {"Authorization": f"Bearer {token}", "A2A-Version": "1.0"}
    return httpx.request(method, f"{place.api}{path}", headers=headers, **{"timeout": 30, **more})


def test_a_number_of_thousands_of_digits_in_a_query_is_refused_by_its_name(
    place: Place, token: str
) -> None:
    """README: "errors as problem details that name the field"; none is a bug of ours."""
    answer = ask(place, token, "GET", f"/a2a/tasks?pageSize={'9' * 5000}")
    assert answer.status_code == 400
    assert answer.json()["error"]["message"].startswith("pageSize: ")


def test_an_id_of_a_call_is_no_way_to_have_much_said_again_and_again(
    place: Place, token: str
) -> None:
    """JSON-RPC repeats the id in each answer, and in each event of a stream."""
    call = {"jsonrpc": "2.0", "id": "x" * 100_000, "method": "GetTask", "params": {"id": "none"}}
    answer = ask(place, token, "POST", "/a2a", json=call)
    assert answer.json()["error"]["code"] == -32600
    assert len(answer.content) < 1000


def test_who_has_left_takes_no_seat_while_their_message_would_wait(
    place: Place, token: str
) -> None:
    """limits.py: a process serves so many streams, and a token has so many: of those who listen."""
    bounds = {"budget": {"tokens": 100}, "timeout": "5m", "until": {"kind": "plan_done"}}
    message = {"parts": [{"text": "hi"}], "metadata": {"buckstop": {"agent": "nobody", **bounds}}}
    figures = place.token("measures", "metrics")

    def streams() -> float:
        said = ask(place, figures, "GET", "/metrics").text
        return float(re.findall(r"^buckstop_http_streams (\S+)$", said, re.MULTILINE)[0])

    before = streams()
    sent = {"message": {"messageId": "left", **message}}
    with pytest.raises(httpx.ReadTimeout):
        ask(place, token, "POST", "/a2a/message:send", json=sent, timeout=httpx.Timeout(30, read=1))
    until("the seat is free again", lambda: streams() <= before)


def test_a_login_that_was_cut_off_while_it_was_made_is_made_again(tmp_path: Path) -> None:
    """An empty login would be none: Flower lets everybody in, who may then send tasks."""
    (tmp_path / LOGIN).touch(mode=0o644)
    login = ensure_login(tmp_path)
    assert login.startswith("buckstop:")
    assert ensure_login(tmp_path) == login
    assert (tmp_path / LOGIN).stat().st_mode & 0o777 == 0o600
