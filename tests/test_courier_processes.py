"""Couriers as processes: killed in the middle, and two at once."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from post_office import PostOffice
from receiver import HANG, OK, Receiver, receiving
from standardwebhooks import Webhook

from envelopes import limits
from orchestrator.leash import leashed
from tests.conftest import Fresh

ROOT = Path(__file__).parents[1]
Start = Callable[[], "subprocess.Popen[bytes]"]
PATIENT = json.dumps({"DELIVERY_S": 40})
"""Less than a delivery's lease: a receiver that stands still with its machine is no failure."""


@pytest.fixture
def office(fresh: Fresh) -> PostOffice:
    return PostOffice(fresh)


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as running:
        yield running


@pytest.fixture
def start(fresh: Fresh, tmp_path: Path) -> Iterator[Start]:
    """Start couriers, and end those that a test has not ended."""
    environ = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "BUCKSTOP_URL": fresh.url,
        "BUCKSTOP_PREFIX": fresh.keys.prefix,
    }
    running: list[subprocess.Popen[bytes]] = []

    def one() -> subprocess.Popen[bytes]:
        with (tmp_path / "courier.log").open("ab") as log:
            process = subprocess.Popen(  # our own program
                leashed([sys.executable, "-m", "tests.limited", PATIENT, "orchestrator.courier"]),
                env=environ,
                stderr=log,
                stdin=subprocess.DEVNULL,
            )
        running.append(process)
        return process

    yield one
    for process in running:
        process.kill()
        process.wait()


def test_a_courier_killed_in_the_middle_loses_nothing(
    office: PostOffice, receiver: Receiver, start: Start
) -> None:
    """SIGKILL while deliveries are under way: each is sent again under its id; none is lost."""
    hook = office.hook(receiver.url())
    receiver.answers["/"] = [OK, OK, OK, HANG]
    told = office.tell(count=20)
    process = start()
    receiver.wait_for(3 + limits.DELIVERIES_AT_ONCE)
    process.kill()
    process.wait()
    receiver.let_go.set()
    receiver.answers["/"] = [OK]
    assert "sending" in office.states(hook)
    office.catch_up()
    office.pass_time(limits.DELIVERY_LEASE_MS)
    office.deliver(turns=30)
    assert office.states(hook) == ["done"] * 20
    assert len(receiver.taken()) == len(told) == 20
    for heard in receiver.heard:
        Webhook(hook.secret).verify(heard.body, heard.headers)


def test_two_couriers_deliver_each_once(
    office: PostOffice, receiver: Receiver, start: Start
) -> None:
    """Any number of couriers: where nobody dies and all answer, each is taken exactly once."""
    hooks = [office.hook(receiver.url(f"/{name}")) for name in "ab"]
    processes = [start(), start()]
    for _ in range(10):
        office.tell(count=10)
    receiver.wait_for(200)
    for process in processes:
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0
    for name in "ab":
        taken = receiver.taken(f"/{name}")
        assert len(taken) == 100
        assert set(taken.values()) == {1}
    assert [office.states(hook) for hook in hooks] == [["done"] * 100] * 2
    assert office.store.stats()["deliveries"] == 200


def test_a_courier_told_to_stop_ends_what_is_under_way(
    office: PostOffice, receiver: Receiver, start: Start
) -> None:
    """SIGTERM: it begins nothing more, and what it has sent is settled."""
    hook = office.hook(receiver.url())
    receiver.answers["/"] = [HANG]
    office.tell()
    process = start()
    receiver.wait_for(1)
    process.send_signal(signal.SIGTERM)
    receiver.let_go.set()
    assert process.wait(60) == 0
    [delivery] = office.subscriptions.deliveries(hook.id, 1)
    assert (delivery.state, delivery.attempts) == ("waiting", 1)
    assert delivery.why.startswith("no answer")


def test_a_courier_that_cannot_read_the_news_ends(office: PostOffice, start: Start) -> None:
    """Our bug: the process dies, and whoever runs it starts it again; it does not look alive."""
    office.client.hset(office.keys.subscriptions, "broken", "{}")
    process = start()
    office.tell()
    assert process.wait(60) == 1


def test_news_is_delivered_as_it_comes(
    office: PostOffice, receiver: Receiver, start: Start
) -> None:
    """An idle courier sleeps on the news, and is woken by it."""
    office.hook(receiver.url())
    start()
    for count in range(1, 4):
        office.tell()
        receiver.wait_for(count)
    assert set(receiver.taken().values()) == {1}
