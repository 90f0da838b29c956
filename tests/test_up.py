"""The supervisor's patience and what it lets its children know (its processes: test_cli.py)."""

from pathlib import Path

import pytest

from orchestrator import children, keyfile
from orchestrator.cli.run import _listening
from orchestrator.up import PAUSES_S, STEADY_AFTER_S, Lives


def test_what_keeps_dying_is_started_ever_more_slowly(monkeypatch: pytest.MonkeyPatch) -> None:
    """Restarts a child that dies, with back-off; one that had proved itself comes back at once."""
    now = 1000.0
    monkeypatch.setattr("orchestrator.up.time.monotonic", lambda: now)
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
        plans = list(children.planned(wanted, "redis://", pair, {}))
        assert {plan.name for plan in plans if plan.inherits} == {"http-1"}
        assert wanted.http_url == f"http://127.0.0.1:{listening.getsockname()[1]}"
