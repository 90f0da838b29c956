"""The supervisor's patience, whom it waits for, and what it lets its children know.

Its processes: test_cli.py.
"""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from orchestrator import children, keyfile
from orchestrator.child import PAUSES_S, STEADY_AFTER_S, Child, Lives, how_it_ended
from orchestrator.cli.run import _listening
from orchestrator.embedded import EmbeddedServer
from orchestrator.readiness import Readiness
from orchestrator.store import Store
from orchestrator.up import Up
from tests.conftest import Fresh
from tests.hands import Hand


def test_what_keeps_dying_is_started_ever_more_slowly(monkeypatch: pytest.MonkeyPatch) -> None:
    """Restarts a child that dies, with back-off; one that had proved itself comes back at once."""
    now = 1000.0
    monkeypatch.setattr("orchestrator.child.time.monotonic", lambda: now)
    lives = Lives()
    for pause_s in (*PAUSES_S, PAUSES_S[-1]):
        lives.began()
        assert not lives.due
        now += 1
        assert lives.ended() == pause_s
        assert lives.due == (pause_s == 0)
        now += pause_s
        assert lives.due
    lives.began()
    now += STEADY_AFTER_S + 1
    assert lives.ended() == PAUSES_S[0]


def test_a_worker_never_sees_a_signing_key() -> None:
    """Orchestrators sign, workers can only verify, so no worker can mint budget."""
    environ = {
        "PATH": "/bin",
        "BUCKSTOP_SIGNING_KEY": "secret",
        "BUCKSTOP_SIGNING_KEY_FILE": "file",
        "BUCKSTOP_PUBLIC_KEYS": "another deployment's",
        "BUCKSTOP_PREFIX": "p:",
    }
    assert children.without_keys(environ) == {"PATH": "/bin", "BUCKSTOP_PREFIX": "p:"}


def test_two_that_start_at_once_have_a_port_each() -> None:
    """`buckstop up` prints a link to its own console, never to somebody else's."""
    with _listening(None) as one, _listening(None) as other:
        ports = {each.getsockname()[1] for each in (one, other)}
    assert len(ports) == 2


def test_only_who_answers_over_http_takes_the_socket_over(tmp_path: Path) -> None:
    """The socket listens before its process does, and through its restarts."""
    pair = keyfile.make(tmp_path)
    with _listening(None) as listening:
        wanted = children.Wanted(tmp_path, ("agents",), http=listening)
        programs = list(children.programs(wanted, "redis://", pair, {}))
        assert {each.name for each in programs if each.inherits} == {"http-1"}
        assert wanted.http_url == f"http://127.0.0.1:{listening.getsockname()[1]}"


def test_a_server_that_was_given_up_too_soon_is_seen_to_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It sleeps until something has to be done: reading a large file takes a server its time."""
    said: list[str] = []
    up = Up(children.Wanted(tmp_path), lambda what, _: said.append(what))
    with EmbeddedServer(tmp_path) as server:
        up._server = server
        server.kill()
        monkeypatch.setattr("orchestrator.embedded._READY_WITHIN_S", 0)
        up._look_after()
        assert (said, server.alive) == (["died", "died"], True)
        up._look_after()
        assert (said[2:], up._next_pause()) == (["server"], None)


# --- ready ---------------------------------------------------------------------------------------


def child(name: str, tmp_path: Path, script: str = "input()") -> Child:
    """Make a child that does what a line of Python says."""
    program = children.Program(name, [sys.executable, "-c", script], dict(os.environ))
    return Child.of(program, tmp_path)


def test_ready_waits_for_who_serves_and_for_who_consumes(fresh: Fresh, tmp_path: Path) -> None:
    """`up` is ready once an orchestrator looks for work and the workers say that they consume."""
    hand = Hand(fresh.client, fresh.keys, "research")
    store = Store(fresh.client, fresh.keys)
    worker, orchestrator = child("worker-1", tmp_path), child("orchestrator-1", tmp_path)
    about = {"host": socket.gethostname(), "pid": os.getpid(), "at_ms": 1}
    store.claim(1)
    hand.claims.beat([], json.dumps({**about, "registered": True}))  # of an earlier start
    readiness = Readiness(fresh.client, fresh.keys, ours=True)
    with subprocess.Popen(["true"]) as worker.process, subprocess.Popen(["true"]) as other:
        orchestrator.process, about["pid"] = other, worker.pid

        def missing() -> list[str]:
            return [each.name for each in readiness.missing([orchestrator, worker])]

        assert missing() == ["orchestrator-1", "worker-1"]
        store.claim(1)
        hand.claims.beat([], json.dumps(about))
        assert missing() == ["worker-1"], "it lives, and has not loaded its agents"
        hand.claims.beat([], json.dumps({**about, "registered": True}))
        assert missing() == []
        hand.claims.beat([], json.dumps(about))
        assert missing() == [], "a pool's child knows less than its parent, and overwrites it"


def test_a_child_says_with_its_last_words_why_it_ended(tmp_path: Path) -> None:
    """Helpful errors: `up` says which child ended and why, in the child's own words."""
    line = json.dumps({"at": "now", "said": "the process dies", "error": "KeyError('x')"})
    for script, words in (
        ("import sys; sys.exit('buckstop worker: mend it')", "mend it"),
        (f"import sys; sys.exit({line!r})", "the process dies: KeyError('x')"),
        ("1 / 0", "ZeroDivisionError: division by zero"),
        ("pass", ""),
    ):
        ending = child("worker-1", tmp_path, script)
        ending.start()
        assert ending.process is not None
        ending.process.wait()
        assert ending.last_words() == words, "and not those of the life before"
    assert ending.log.stat().st_mode & 0o077 == 0, "what agents log is nobody else's"


def test_who_is_killed_is_given_no_last_words_and_others_one_line_of_them(tmp_path: Path) -> None:
    """Helpful errors: a warning of long ago is not why a child was SIGKILLed."""
    line = json.dumps({"said": "a warning: you are root\n\nPlease do not."})
    child_ = child("worker-1", tmp_path, f"print({line!r})")
    child_.start()
    assert child_.process is not None
    child_.process.wait()
    assert child_.why_it_ended(-9) == "killed by SIGKILL"
    assert child_.why_it_ended(1) == "exit code 1: a warning: you are root"


def test_an_ending_is_told_in_words() -> None:
    assert how_it_ended(-9) == "killed by SIGKILL"
    assert how_it_ended(1) == "exit code 1"
