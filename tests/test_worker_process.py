"""A worker as a process: `celery -A workers.app worker`, real pools, real signals, real outages."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path

import pytest

from envelopes import Amounts, Fault, Status
from envelopes.limits import BEAT_MS
from orchestrator.keyfile import encode, public_of
from tests.shop import PRIVATE_KEY, ROOT, Office, Worker
from tests.until import PATIENCE_S, until

pytestmark = pytest.mark.timeout(300)
FOR_EVER_S = 5 * PATIENCE_S
"""What nobody here waits for: an agent that takes so long is still at work at a test's end."""


@pytest.fixture
def office(fresh) -> Office:
    return Office(fresh.client, fresh.keys)


@pytest.fixture
def worker(fresh, tmp_path):
    """Make a worker of this pool; start it with `with`."""

    def worker(pool: str = "threads", concurrency: int = 4, **environ: str) -> Worker:
        arguments = ("--pool", pool, "-c", str(concurrency))
        return Worker(fresh.url, fresh.keys, tmp_path, arguments=arguments, environ=environ)

    return worker


def asked(seconds: float) -> dict[str, object]:
    return {"goal": "g", "input": seconds, "inputs": {}}


def send_many(office: Office, agent: str, count: int, seconds: float = 0, **more) -> list[str]:
    messages = [office.message(agent, payload=asked(seconds), **more) for _ in range(count)]
    return office.publish(*messages)


def states(office: Office, subtasks: list[str]) -> Counter:
    return Counter(office.claim(each)["state"] for each in subtasks)


def ended_lines(log: Path) -> int:
    """Count the lines about ends; a report is posted before its line is written."""
    whole = log.read_text().split("\n")[:-1]
    return sum(json.loads(line)["said"] == "a subtask ended" for line in whole)


# --- it works ------------------------------------------------------------------------------------


@pytest.mark.parametrize("pool", ["threads", "prefork", "solo"])
def test_the_same_agents_run_under_every_pool(pool, office, worker) -> None:
    """The same code runs under the prefork and the threads pool; sync and async agents."""
    with worker(pool, 2) as running:
        running.wait_ready()
        sent = [
            *send_many(office, "noop", 40),
            *send_many(office, "payer", 20),
            *send_many(office, "waiter", 4, 0.05),
        ]
        until("64 reports", lambda: len(office.reports()) == 64)
        told = office.reports()
        assert all(told[each].envelope.status is Status.SUCCESS for each in sent)
        assert all(told[each].charged == Amounts(30, 0, 1) for each in sent[40:])
        assert sorted(running.ran()) == sorted(sent), "each ran once"
        assert office.store.stats()["reports"] == 64
        until("one line for each subtask", lambda: ended_lines(running.log) == 64)
        assert running.terminate(PATIENCE_S) == 0


def test_hundreds_of_async_agents_wait_in_one_process(office, worker) -> None:
    """Async agents share one event loop per process."""
    with worker("threads", 200) as running:
        running.wait_ready()
        send_many(office, "noop", 1)
        until("the pool is warm", lambda: len(office.reports()) == 1)
        send_many(office, "watcher", 200, FOR_EVER_S)
        until("all of them are at work", lambda: len(running.ran()) == 201)
        assert len(office.reports()) == 1, "at once: none of them has ended"


def test_a_slow_agent_hoards_nothing_that_another_worker_could_do(office, worker) -> None:
    """Fetch no more than there are free slots."""
    with worker("threads", 2) as running:
        running.wait_ready()
        send_many(office, "sleeper", 10, FOR_EVER_S)
        until("both slots are taken", lambda: len(running.ran()) == 2)
        time.sleep(1.5)  # longer than one wait at the bell
        assert office.store.queue_depth("sleeper") == 8


def test_a_busy_slow_agent_does_not_keep_a_quick_one_from_its_slot(office, worker) -> None:
    with worker("threads", 2) as running:
        running.wait_ready()
        slow = send_many(office, "sleeper", 1, FOR_EVER_S)
        until("the slow one runs", lambda: running.ran() == slow)
        quick = send_many(office, "noop", 300)
        until("the quick ones, beside the slow one", lambda: office.reports().keys() == {*quick})


def test_the_orchestrator_learns_which_agents_there_are(office, worker) -> None:
    with worker() as running:
        running.wait_ready()
        until("its agents are known", lambda: "noop" in office.store.agents())
        facts = office.store.agents()["noop"].facts
        assert facts == {"handoffs": [], "skills": [], "in_flight_max": None, "price": None}
        until("the worker is known", lambda: office.client.zcard(office.keys.workers) == 1)
        (name,) = office.client.zrange(office.keys.workers, 0, -1)
        about = json.loads(office.client.get(office.keys.worker(name.decode())))
        assert about["pid"] == running.process.pid
        assert "noop" in about["agents"]


def test_remote_control_works_beside_the_gate(office, worker) -> None:
    """Stock Celery workers, `celery inspect` and Flower see ordinary messages."""
    with worker() as running:
        running.wait_ready()
        slow = send_many(office, "sleeper", 1, FOR_EVER_S)
        until("the slow one runs", lambda: running.ran() == slow)
        # Celery asks for so many seconds, and says by its exit code that nobody has answered.
        inspected = until("it answers", lambda: inspect(running), good=lambda it: not it.returncode)
        (active,) = json.loads(inspected.stdout).values()
        assert [(each["id"], each["name"]) for each in active] == [(slow[0], "agent.sleeper")]


def inspect(worker: Worker) -> subprocess.CompletedProcess[bytes]:
    words = ["-A", "workers.app", "inspect", "--timeout", "3", "active", "--json"]
    return subprocess.run(
        [sys.executable, "-m", "celery", *words],
        cwd=ROOT,
        env=os.environ | {"BUCKSTOP_URL": worker.url},
        capture_output=True,
        timeout=PATIENCE_S,
        check=False,
    )


def test_what_is_missing_is_named_and_the_worker_does_not_start(fresh, tmp_path) -> None:
    """Helpful errors."""
    here = str(tmp_path)
    (tmp_path / "unread.py").write_text("def broken(:")
    (tmp_path / "raises.py").write_text("nothing = 0\nall = 1 / nothing")
    for environ, said in (
        ({"BUCKSTOP_PUBLIC_KEYS": ""}, "BUCKSTOP_PUBLIC_KEYS_FILE"),
        ({"BUCKSTOP_PUBLIC_KEYS": "c2hvcnQ="}, "BUCKSTOP_PUBLIC_KEYS, key 1"),
        ({"BUCKSTOP_AGENTS": ""}, "BUCKSTOP_AGENTS"),
        ({"BUCKSTOP_AGENTS": "no.such.module"}, "no.such.module"),
        ({"BUCKSTOP_AGENTS": "unread", "PYTHONPATH": here}, "unread.py:1"),
        ({"BUCKSTOP_AGENTS": "raises", "PYTHONPATH": here}, "raises.py:2"),
        ({"BUCKSTOP_GRACE": "soon"}, "BUCKSTOP_GRACE"),
    ):
        with Worker(fresh.url, fresh.keys, tmp_path, environ=environ) as refused:
            assert refused.process.wait(PATIENCE_S) == 2
            assert said in refused.log.read_text()
            assert "Traceback" not in refused.log.read_text()


def test_a_module_beside_a_plain_celery_worker_is_found(fresh, tmp_path) -> None:
    """README: `BUCKSTOP_AGENTS=my_agents celery -A workers.app worker` is the same."""
    (tmp_path / "beside.py").write_text("raise SystemExit('found beside')")
    celery = Path(sys.executable).parent / "celery"  # without -m: that would look here by itself
    environ = {
        **{name: each for name, each in os.environ.items() if name != "PYTHONPATH"},
        "BUCKSTOP_URL": fresh.url,
        "BUCKSTOP_AGENTS": "beside",
        "BUCKSTOP_PUBLIC_KEYS": encode(public_of(PRIVATE_KEY)),
    }
    command = [celery, "-A", "workers.app", "worker", "--pool", "solo"]
    said = subprocess.run(
        command, cwd=tmp_path, env=environ, capture_output=True, text=True, timeout=60, check=False
    )
    assert "found beside" in said.stderr


# --- told to stop --------------------------------------------------------------------------------


@pytest.mark.parametrize("pool", ["threads", "prefork"])
def test_told_to_stop_it_ends_what_runs_and_gives_back_the_rest(pool, office, worker) -> None:
    """SIGTERM: stop taking, finish or hand back within the grace time."""
    with worker(pool, 2) as running:
        running.wait_ready()
        quick = send_many(office, "napper", 400)  # so that it takes some work ahead
        until("it is under load", lambda: len(office.reports()) > 300)
        slow = send_many(office, "napper", 60, 0.7)
        until("a slow one runs", lambda: any(each in running.ran() for each in slow))
        assert running.terminate(PATIENCE_S) == 0
        told, ran = office.reports(), set(running.ran())
        assert ran == set(told), "what began was ended and reported"
        left = [each for each in [*quick, *slow] if each not in ran]
        assert left, "there was more than it could do in a minute"
        assert states(office, left) == {"issued": len(left)}
        assert office.store.queue_depth("napper") == len(left), "for another worker to take"
        assert len(running.ran()) == len(ran), "none ran twice"
    with worker(pool, 10) as another:
        until("another worker does the rest", lambda: len(office.reports()) == 460)
        assert Counter(another.ran()).most_common(1)[0][1] == 1


@pytest.mark.parametrize(("pool", "kept"), [("threads", "what there is"), ("prefork", None)])
def test_what_does_not_end_within_the_grace_is_reported_as_stopped(
    pool, kept, office, worker
) -> None:
    """Then report those still running as failed, fault=stopped, and exit."""
    with worker(pool, 2, BUCKSTOP_GRACE="1") as running:
        running.wait_ready()
        sent = send_many(office, "sleeper", 2, FOR_EVER_S)
        until("both slots are taken", lambda: len(running.ran()) == 2)
        begun = time.monotonic()
        assert running.terminate(PATIENCE_S) == 0
        assert time.monotonic() - begun >= 1, "they had their grace"
        for each in sent:
            told = office.reports()[each].envelope
            assert (told.fault, told.result) == (Fault.STOPPED, kept)
            assert "told to stop" in (told.reason or "")


def test_an_async_agent_that_does_not_end_is_stopped_too(office, worker) -> None:
    with worker("threads", 2, BUCKSTOP_GRACE="1") as running:
        running.wait_ready()
        (sent,) = send_many(office, "watcher", 1, FOR_EVER_S)
        until("it runs", lambda: running.ran() == [sent])
        assert running.terminate(PATIENCE_S) == 0
        assert office.reports()[sent].envelope.fault is Fault.STOPPED


# --- killed --------------------------------------------------------------------------------------


def test_a_killed_child_falls_silent_while_its_worker_lives_on(office, worker) -> None:
    """SIGKILL pool child mid-call: the main survives, and does not beat for the child."""
    with worker("prefork", 2) as running:
        running.wait_ready()
        (sent,) = send_many(office, "sleeper", 1, FOR_EVER_S)
        until("it runs", lambda: running.ran() == [sent])
        until(
            "its worker has said that it lives",
            lambda: int(office.claim(sent)["beat_ms"]) > int(office.claim(sent)["since_ms"]),
        )
        for child in children(running.process.pid):
            os.kill(child, signal.SIGKILL)
        assert office.report(send_many(office, "noop", 1)[0]).envelope.status is Status.SUCCESS
        last_ms = office.claim(sent)["beat_ms"]  # by now what was on its way has come
        time.sleep(BEAT_MS / 1000 + 0.5)
        assert office.claim(sent)["beat_ms"] == last_ms
        assert sent not in office.reports()
        assert running.process.poll() is None


def children(pid: int) -> list[int]:
    return [int(each) for each in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def test_a_child_that_ignores_its_deadline_is_killed_and_reported(office, worker) -> None:
    """`time_limit` on prefork: the hard kill of code that ignores the meter."""
    with worker("prefork", 1) as running:
        running.wait_ready()
        (sent,) = send_many(office, "sleeper", 1, FOR_EVER_S, timeout_ms=3_000)
        told = office.report(sent).envelope
        assert told.fault is Fault.TIMEOUT
        assert "killed" in (told.reason or "")
        assert office.report(send_many(office, "noop", 1)[0]).envelope.status is Status.SUCCESS


def test_an_agent_whose_subtask_is_taken_away_is_cancelled_and_its_slot_free(
    office, worker
) -> None:
    """On revoked: ctx.cancelled is set and async agents are cancelled."""
    with worker("threads", 1) as running:
        running.wait_ready()
        (sent,) = send_many(office, "watcher", 1, FOR_EVER_S)
        until("it runs", lambda: running.ran() == [sent])
        office.store.look(office.task, [], [1])
        until("its cancellation", lambda: running.ran() == [sent, sent])
        office.report(office.send("noop"))
        assert sent not in office.reports()


# --- the server goes away ------------------------------------------------------------------------


def test_a_server_that_is_not_there_yet_is_waited_for(server, fresh, office, worker) -> None:
    """Unreachable server at start: retry."""
    server.kill()
    with worker() as running:
        until("the worker has noticed", lambda: "Cannot connect" in running.log.read_text())
        server.restart()
        running.wait_ready()
        assert office.report(office.send("noop")).envelope.status is Status.SUCCESS


@pytest.mark.parametrize("pool", ["threads", "prefork"])
def test_a_server_that_restarts_under_load_costs_nothing(
    pool, server, fresh, office, worker
) -> None:
    """Redis SIGKILL + restart: progress <= 5 s, no duplicates. Celery 5.7's own worker exits."""
    with worker(pool, 4) as running:
        running.wait_ready()
        sent = send_many(office, "napper", 300, 0.02)
        until("it is under load", lambda: len(running.ran()) > 50)
        server.kill()
        threading.Event().wait(2.5)
        server.restart()
        until("all reports", lambda: len(office.reports()) == 300)
        assert running.process.poll() is None
        assert sorted(running.ran()) == sorted(sent), "each ran once"
        assert states(office, sent) == {"reported": 300}
