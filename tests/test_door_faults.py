"""The door under every fault: at each call to the server, with others beside, and SIGKILLs.

One small story (a good message, its copy, a malformed one, one too large, one with a priority) is
played once undisturbed to count its calls, then once for each call and each fault. However it was
struck, there are the same tasks and letters, and no message lies there any more.
"""

import json
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from redis.exceptions import ConnectionError as Cut

from envelopes import limits
from envelopes.scripts import connect
from orchestrator.client import Buckstop
from orchestrator.door.door import Door
from orchestrator.door.porter import Porter
from orchestrator.embedded import EmbeddedServer
from orchestrator.settings import Settings
from tests.conftest import Fresh
from tests.door import ASKED, sent
from tests.faulty import CLOCK, Call, Client, Crash, Fault, Tape
from tests.fleet import Fleet
from tests.test_door import put

STORY = (
    sent(task_id="good"),
    sent(task_id="good"),
    b"hello",
    b"x" * (limits.MESSAGE_BYTES_MAX + 1),
    sent({**ASKED, "budget": {}}, task_id="bad"),
)
NOW_MS = 1_800_000_000_000
ROUNDS_MAX = 20


class Stage:
    """A door on a line that breaks where a test says so; the clock is held."""

    def __init__(self, fresh: Fresh, strikes: dict[int, Fault] | None = None) -> None:
        self.fresh = fresh
        fresh.client.flushall()
        fresh.client.set(CLOCK, NOW_MS)
        self.tape = Tape(fresh.client, fresh.keys, strikes)
        self.tape.meanwhile = lambda _: self._others()
        put(fresh, *STORY)
        fresh.client.lpush(fresh.keys.submission_lists[1], sent(task_id="urgent"))

    def porter(self, name: str) -> Porter:
        client = Client(self.fresh.client.connection_pool, self.tape, name)
        door = Door(client, self.fresh.keys)
        self.tape.clocked(door._scripts)
        return Porter(door, lambda: None)

    def play(self) -> None:
        """Let a porter do it all; one that dies is replaced by another, a lease later."""
        porter = self.porter("first")
        for number in range(ROUNDS_MAX):
            try:
                if not porter.turn(1) and not self._lying():
                    return
            except Crash:
                porter = self.porter(f"after {number}")
            except Cut:
                pass  # its loop goes on
            self._pass_time()
        raise AssertionError("not over")

    def _others(self) -> None:
        """Stand still past the lease, while somebody else does everything."""
        self._pass_time()
        other = self.porter("another")
        while self._lying():
            other.turn(1)

    def _pass_time(self) -> None:
        self.fresh.client.incrby(CLOCK, limits.WAKE_LEASE_MS + 1)

    def _lying(self) -> int:
        return sum(int(self.fresh.client.llen(name)) for name in self.fresh.keys.submission_lists)

    def end(self) -> object:
        """Say what there is in the end, but for names that are made up."""
        client, keys = self.fresh.client, self.fresh.keys
        letters = [
            client.hgetall(keys.letter(i.decode())) for i in client.zrange(keys.letters, 0, -1)
        ]
        stats = client.hgetall(keys.stats)
        return (
            client.zcard(keys.tasks),
            Counter((one[b"reason"], one[b"size"]) for one in letters),
            {name: stats[name] for name in (b"submitted", b"door_accepted", b"door_refused")},
            len(client.keys(keys.celery_result("*"))),
            client.hlen(keys.submissions_held),
        )


@pytest.fixture
def undisturbed(fresh: Fresh) -> tuple[list[Call], object]:
    Stage(fresh).play()  # so that the server knows the scripts
    stage = Stage(fresh)
    stage.play()
    assert not fresh.client.hlen(fresh.keys.submissions_held), "nobody is at what is not there"
    return stage.tape.calls, stage.end()


@pytest.mark.parametrize("fault", Fault)
def test_a_fault_at_any_call_loses_and_repeats_nothing(
    fresh: Fresh, undisturbed: tuple[list[Call], object], fault: Fault
) -> None:
    """Fault matrix: «SIGKILL before and after every Redis call (enumerate the calls)»."""
    calls, end = undisturbed
    assert {call.name for call in calls} >= {"BLMOVE", "take_submissions", "accept_submission"}
    for call in calls:
        if fault is Fault.CRASH_MIDWAY and not call.many:
            continue
        stage = Stage(fresh, {call.number: fault})
        stage.play()
        assert [struck for _, struck in stage.tape.struck] == [fault], call
        assert stage.end() == end, f"{fault} at {call}"


def test_each_script_sent_twice_is_as_if_once(
    fresh: Fresh, undisturbed: tuple[list[Call], object]
) -> None:
    """«A lost reply and a retry are as if once», and the answer is the same."""
    for call in undisturbed[0]:
        if call.name != "BLMOVE":
            stage = Stage(fresh, {call.number: Fault.SENT_TWICE})
            stage.play()
            [retry] = stage.tape.retries
            assert (retry.same_answer, retry.changed_nothing) == (True, True), retry.call


# --- others beside -------------------------------------------------------------------------------


def test_two_orchestrators_at_one_door_make_each_task_once(fresh: Fresh) -> None:
    """Any number of them, and none leads: what one is at is not shown to another."""
    doors = [Door(fresh.client, fresh.keys) for _ in range(3)]
    fresh.client.set(CLOCK, NOW_MS)  # held: nobody's lease ends while a machine stands still
    for door in doors:
        Tape(fresh.client, fresh.keys).clocked(door._scripts)
    porters = [Porter(door, lambda: None) for door in doors]
    put(fresh, *(sent(task_id=f"m{n}") for n in range(60)), *(b"no %d" % n for n in range(20)))
    settled = []

    def work(porter: Porter) -> None:
        while fresh.client.llen(fresh.keys.submissions):
            settled.extend(porter.turn(1))

    threads = [threading.Thread(target=work, args=(porter,)) for porter in porters]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert Counter(bool(one.task) for one in settled) == {True: 60, False: 20}
    assert all(one.created or one.letter for one in settled), "nobody judged for nothing"
    assert fresh.client.zcard(fresh.keys.tasks) == 60
    assert fresh.client.zcard(fresh.keys.letters) == 20


def test_what_one_is_at_is_shown_to_another_after_its_lease(fresh: Fresh) -> None:
    stage = Stage(fresh)
    first, second = (stage.porter(name)._door for name in ("first", "second"))
    assert len(first.take().messages) == 5
    seen = second.take()
    assert (seen.messages, seen.next_ms) == ((), NOW_MS + limits.WAKE_LEASE_MS)
    assert len(first.take().messages) == 5, "its own are shown to it again"
    stage._pass_time()
    assert len(second.take().messages) == 5


def test_no_more_is_taken_than_asked_for_and_the_oldest_first(fresh: Fresh) -> None:
    put(fresh, *(sent(task_id=f"m{n}") for n in range(9)))
    taken = Door(fresh.client, fresh.keys).take(4)
    assert [json.loads(one.raw)["headers"]["id"] for one in taken.messages] == [
        f"m{n}" for n in range(4)
    ]


# --- real processes ------------------------------------------------------------------------------

STRANGER = """
import sys
from celery import Celery

app = Celery("shop", broker=sys.argv[1])
asked = {"goal": "g", "agent": "a", "budget": {"calls": 1}, "timeout": "1h",
         "until": {"kind": "plan_done"}}
for number in range(int(sys.argv[3])):
    app.send_task("buckstop.submit", kwargs=asked, queue=sys.argv[2], task_id=f"s{number}")
    app.send_task("buckstop.submit", kwargs={"number": number}, queue=sys.argv[2])
assert not {"orchestrator", "workers", "envelopes"} & set(sys.modules)
"""


@contextmanager
def two_orchestrators(fresh: Fresh, folder: Path) -> Iterator[Fleet]:
    fleet = Fleet(folder, fresh.url, fresh.keys.prefix, "none")
    try:
        for name in ("one", "two"):
            fleet.orchestrator(name)
        yield fleet
    finally:
        fleet.stop()


def test_killed_orchestrators_lose_no_message(fresh: Fresh, tmp_path: Path) -> None:
    """A stock Celery client without our code sends, while orchestrators are SIGKILLed."""
    many = 60
    settings = Settings(fresh.url, "the test", fresh.keys.prefix)
    command = [sys.executable, "-c", STRANGER, fresh.url, fresh.keys.submissions, str(many)]
    with (
        two_orchestrators(fresh, tmp_path) as fleet,
        Buckstop(settings=settings) as buckstop,
        subprocess.Popen(command, cwd=tmp_path) as sender,
    ):
        for part, name in enumerate(("one", "two", "one"), start=1):
            while _settled(buckstop) < part * many // 3:
                assert fleet.running[name].poll() is None, fleet.log(name)
                time.sleep(0.01)
            fleet.kill(name)
        while _settled(buckstop) < 2 * many:
            time.sleep(0.01)
        assert sender.wait(60) == 0
        stats = buckstop.store.stats()
        assert (stats["submitted"], stats["door_accepted"]) == (many, many)
        assert len(buckstop.store.find_tasks(count=2 * many)) == many
        assert buckstop.letter_counts("reason") == {"request": many}
        assert buckstop.store.submissions() == (fresh.keys.submissions, 0)


def _settled(buckstop: Buckstop) -> int:
    stats = buckstop.store.stats()
    return stats.get("door_accepted", 0) + stats.get("door_refused", 0)


def test_a_server_that_was_away_is_served_again(fresh: Fresh, server: EmbeddedServer) -> None:
    """Redis SIGKILL + restart: messages are there again, and are taken."""
    porter = Porter(Door(connect(fresh.url), fresh.keys), lambda: None)
    porter.start()
    put(fresh, sent(task_id="before"))
    while not fresh.client.zcard(fresh.keys.tasks):
        time.sleep(0.01)
    server.kill()
    server.restart()
    put(fresh, sent(task_id="after"), sent(task_id="before"))
    while fresh.client.llen(fresh.keys.submissions):
        time.sleep(0.01)
    porter.stop()
    assert fresh.client.zcard(fresh.keys.tasks) == 2


def test_an_orchestrator_that_stops_settles_what_it_has_in_hand(fresh: Fresh) -> None:
    """SIGTERM does not wait for the end of a wait, and begins no other batch."""
    porter = Porter(Door(fresh.client, fresh.keys), lambda: None)
    porter.start()
    put(fresh, sent())
    while fresh.client.llen(fresh.keys.submissions):
        time.sleep(0.01)
    porter.stop()
    put(fresh, sent())
    assert porter.turn(1) == []
    assert fresh.client.llen(fresh.keys.submissions) == 1
