"""A server short of memory: what cannot be written is said, and nothing is lost."""

import logging
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from redis.exceptions import OutOfMemoryError

from envelopes import limits
from envelopes.decision import Decision, Verb
from envelopes.keys import Keys
from envelopes.scripts import connect, new_op
from orchestrator.checks import Verdict
from orchestrator.doctor import examine
from orchestrator.doctor.deployment import Deployment
from orchestrator.embedded import EmbeddedServer
from orchestrator.serve import Orchestrator
from orchestrator.wire import Signer, Wire
from tests.conftest import Fresh
from tests.until import PATIENCE_S, until
from tests.ward import KEY, PLENTY, Ward

INPUT = "x" * 100_000
STEPS = 20
FOR_A_LETTER = 5_500_000
"""Less than the first commit of such a plan, with its messages; more than the plan and a letter."""
FOR_LITTLE = 2_000_000
"""Less than the plan itself, and more than anything small takes."""


@pytest.fixture
def ward(tmp_path: Path) -> Iterator[Ward]:
    """Hand out a deployment on a server of its own.

    The tests' common one holds every script that was ever sent to it, and intake looks at the share
    of its memory that is used.
    """
    with EmbeddedServer(tmp_path / "server") as server, connect(server.url) as client:
        made = Ward(Fresh(server.url, client, Keys("memory:")))
        made.worker("w1", "a")
        made.turn()
        yield made
        made.buckstop.close()


def submit_large(ward: Ward) -> str:
    plan = [{"id": f"s{n}", "agent": "a", "input": INPUT} for n in range(STEPS)]
    bounds = PLENTY | {"budget": {"calls": 2 * STEPS}, "timeout": 3_600}
    return ward.buckstop.submit(goal="g", plan=plan, **bounds).id


def leave_room(ward: Ward, size: int) -> None:
    """Bound the server's memory, without what it still holds for what was sent last."""
    for client in (ward.client, ward.store._client):
        client.connection_pool.disconnect()
    used = int(ward.client.info("memory")["used_memory"])
    ward.client.config_set("maxmemory", used + size)


def try_again(ward: Ward, task: str) -> None:
    """Let the loop find a task whose wake lease has run out."""
    ward.client.zadd(ward.keys.due, {task: 1})
    ward.turn()


def test_a_commit_that_the_server_has_no_memory_for_is_a_persons(ward: Ward) -> None:
    """Redis full: "nothing lost". More memory and a `retry` are all it takes."""
    large = submit_large(ward)
    leave_room(ward, FOR_A_LETTER)
    for _ in range(limits.UNDECIDED_MAX):
        try_again(ward, large)
    [letter] = ward.buckstop.letters().items
    assert (letter["task"], letter["kind"]) == (large, "poison")
    assert "the server has no memory for what it decides, " in letter["why"]
    assert "CONFIG SET maxmemory" in letter["why"]
    ward.client.config_set("maxmemory", 0)
    said = Decision(letter=letter["id"], verb=Verb.RETRY, by="Ada")
    ward.store.post(large, b"decide\n" + said.model_dump_json().encode(), new_op())
    all_is_sent(ward)
    assert ward.buckstop.task(large).status().state == "working"


def test_what_there_is_no_memory_for_stands_in_nobodys_way(
    ward: Ward, caplog: pytest.LogCaptureFixture
) -> None:
    """Not even a letter fits; "when memory comes back everything goes on with nothing lost"."""
    large = submit_large(ward)
    leave_room(ward, FOR_LITTLE)
    caplog.set_level(logging.INFO, logger="buckstop.serve")
    for number in range(1, limits.UNDECIDED_MAX + 2):
        ward.client.zadd(ward.keys.due, {ward.submit(): 2})
        with suppress(OutOfMemoryError):
            try_again(ward, large)
        assert ward.store.queue_depth("a") == number, "others of its batch are decided"
        assert caplog.messages.count("decided") == number, "and what was decided is told"
    ward.client.config_set("maxmemory", 0)
    try_again(ward, large)
    all_is_sent(ward, limits.UNDECIDED_MAX + 1)
    assert ward.store.count_letters() == 0


def all_is_sent(ward: Ward, others: int = 0) -> None:
    """Decide as often as it takes to send a plan piece by piece."""
    for _ in range(3):
        ward.turn()
    assert ward.store.queue_depth("a") == STEPS + others


def test_a_full_server_is_called_full_and_not_away(
    ward: Ward, caplog: pytest.LogCaptureFixture
) -> None:
    """No task is to blame, the log and the doctor name it, and all goes on once there is room."""
    task = ward.submit()
    ward.client.config_set("maxmemory", 1)
    loop = Orchestrator(ward.store, Wire(Signer(KEY), ward.keys))
    running = threading.Thread(target=loop.run, daemon=True)
    with caplog.at_level(logging.WARNING, logger="buckstop.serve"):
        running.start()
        until("it is said", lambda: "the server is out of memory" in caplog.messages)
    assert "the server is away" not in caplog.messages
    seen = examine(Deployment.of(ward.client, ward.keys, signing_key=KEY))
    [memory] = [one for one in seen if one.check == "memory"]
    assert memory.verdict is Verdict.REFUSED
    ward.client.config_set("maxmemory", 0)
    until("it is sent", lambda: ward.store.queue_depth("a") == 1)
    loop.stop()
    ward.store.ring()
    running.join(PATIENCE_S)
    assert not running.is_alive()
    assert ward.store.count_letters() == 0, f"{task} had no part in it"
