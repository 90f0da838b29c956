"""The supervisor's patience and what it lets its children know (its processes: test_cli.py)."""

import pytest

from orchestrator import children
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
