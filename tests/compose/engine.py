"""docker-compose.yml as it is, under a name, on ports and with secrets of its own.

What a test does to it goes through the docker client, as a person would: so it also works where the
engine is not on this machine's own processes. Nothing here waits for luck; `until` waits for a
condition, and says at the end what it saw last.
"""

import json
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import httpx

from orchestrator.embedded import free_port
from tests.until import Seen
from tests.until import until as patiently

ROOT = Path(__file__).parents[2]
PROJECT = "buckstop-under-test"
IMAGE = "buckstop:under-test"
PROMETHEUS = "prometheus:stand-in"
SERVICES = ("redis", "orchestrator", "worker", "http", "courier", "flower")
PATIENCE_S = 120.0
ENDED = {"completed", "partial", "aborted"}
_STATES = """
local states = {}
for i, claim in ipairs(ARGV) do
  states[i] = redis.call('HGET', claim, 'state') or '-'
end
return states
"""


def missing() -> str | None:
    """Say why nothing can be run here, or return None."""
    if shutil.which("docker") is None:
        return "there is no docker client"
    for command in (["docker", "info"], ["docker", "compose", "version"]):
        run = subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)
        if run.returncode:
            return f"`{' '.join(command)}` says: {run.stderr.strip() or run.stdout.strip()}"
    return None


def until(what: str, look: Callable[[], Seen], good: Callable[[Seen], bool] = bool) -> Seen:
    """Return what is seen once it is good; a look may be a command of Docker's."""
    return patiently(what, look, PATIENCE_S, good=good, every_s=0.5)


class Deployment:
    """One deployment, and what a person could do to it."""

    def __init__(self, directory: Path, concurrency: int = 4) -> None:
        self.secrets = directory / "secrets"
        self.port, self.flower_port = free_port(), free_port()
        self._environ = os.environ | {
            "COMPOSE_PROJECT_NAME": PROJECT,
            "BUCKSTOP_IMAGE": IMAGE,
            "BUCKSTOP_SECRETS": str(self.secrets),
            "BUCKSTOP_AGENTS_DIR": str(ROOT / "tests/compose/agents"),
            "BUCKSTOP_AGENTS": "naps,workers.demo.agents",
            "BUCKSTOP_CONCURRENCY": str(concurrency),
            "BUCKSTOP_PORT": str(self.port),
            "FLOWER_PORT": str(self.flower_port),
            "PROMETHEUS_IMAGE": PROMETHEUS,
        }
        self._client: httpx.Client | None = None

    # --- as a whole ------------------------------------------------------------------------------

    def up(self) -> None:
        """Make secrets, build, start, and wait until everything is healthy."""
        self.run("sh", "deploy/make-secrets.sh", str(self.secrets))
        self.compose("build")
        try:
            self.compose("up", "--detach", "--no-build", "--wait")
        except AssertionError as error:
            raise AssertionError(
                f"{error}\n{self.compose('logs', '--no-color', '--tail', '20')}"
            ) from None

    def down(self) -> None:
        """Take everything away, volumes too."""
        self.compose("--profile", "*", "down", "--volumes", "--timeout", "5")

    def compose(self, *words: str) -> str:
        """Run docker compose."""
        return self.run("docker", "compose", "--progress", "quiet", *words)

    def run(self, *words: str) -> str:
        """Run a command at the top of the repository; what it says on failure is the message."""
        run = subprocess.run(
            words, cwd=ROOT, env=self._environ, check=False, capture_output=True, text=True
        )
        assert run.returncode == 0, f"{' '.join(words)}: {run.stdout}{run.stderr}"
        return run.stdout.strip()

    # --- containers ------------------------------------------------------------------------------

    def containers(self, service: str) -> list[str]:
        """Return the ids of a service's containers."""
        return self.compose("ps", "--all", "--quiet", service).split()

    def inspect(self, container: str) -> Mapping[str, Any]:
        """Return all that the engine knows of a container."""
        found: Mapping[str, Any] = json.loads(self.run("docker", "inspect", container))[0]
        return found

    def started(self, *services: str) -> dict[str, tuple[str, int]]:
        """Return by container when it was started, and how often again."""
        ids = [each for service in services for each in self.containers(service)]
        seen = {each: self.inspect(each) for each in ids}
        return {each: (s["State"]["StartedAt"], s["RestartCount"]) for each, s in seen.items()}

    def crash(self, container: str) -> None:
        """SIGKILL its main process, and wait until the restart policy has brought it back.

        From a container that sees the engine's processes: inside its own, process 1 is immune;
        and after `docker kill` the engine thinks that somebody wanted it to stay away.
        """
        before = self.inspect(container)
        self.run(
            *("docker", "run", "--rm", "--pid=host", "--network=none", "--user=0"),
            *(
                "--cap-add=KILL",
                "--entrypoint=sh",
                IMAGE,
                "-c",
                f"kill -9 {before['State']['Pid']}",
            ),
        )
        until(
            f"{before['Name']} is healthy again",
            lambda: self.inspect(container),
            lambda now: (
                now["RestartCount"] > before["RestartCount"]
                and now["State"]["Running"]
                and now["State"]["Health"]["Status"] == "healthy"
            ),
        )

    def redis(self, user: str, *command: str) -> str:
        """Run one command on the server as a user of its access list."""
        script = f'REDISCLI_AUTH=$(cat /run/secrets/redis_{user}) exec redis-cli --user {user} "$@"'
        return self.compose("exec", "--no-TTY", "redis", "sh", "-c", script, "sh", *command)

    def buckstop(self, *words: str) -> Any:
        """Give a command where the API runs, with the rights of that; return its JSON."""
        said = self.compose("exec", "--no-TTY", "http", "buckstop", *words, "--json")
        return json.loads(said.splitlines()[-1]) if said else None

    # --- over HTTP -------------------------------------------------------------------------------

    @property
    def client(self) -> httpx.Client:
        """Return a client of the API, with a token made as README says."""
        if self._client is None:
            make = ("buckstop", "token", "new", "test", "--scope", "submit", "--scope", "read")
            token = self.compose("exec", "--no-TTY", "http", *make)
            self._client = httpx.Client(
                base_url=f"http://127.0.0.1:{self.port}",
                headers={"Authorization": f"Bearer {token}"},
                timeout=10,
            )
        return self._client

    def submit(self, count: int, seconds: float) -> list[str]:
        """Submit naps, each a task."""
        return [self._submit(seconds) for _ in range(count)]

    def _submit(self, seconds: float) -> str:
        request = {
            "goal": str(seconds),
            "agent": "nap",
            "budget": {"tokens": 1000},
            "timeout": "5m",
            "until": {"kind": "plan_done"},
        }
        answer = self.client.post("/v1/tasks", json=request)
        assert answer.is_success, answer.text
        task: str = answer.json()["id"]
        return task

    def task(self, task: str) -> Mapping[str, Any]:
        """Return a task as the API shows it."""
        answer = self.client.get(f"/v1/tasks/{task}")
        assert answer.is_success, answer.text
        shown: Mapping[str, Any] = answer.json()
        return shown

    def results(self, tasks: list[str]) -> list[Mapping[str, Any]]:
        """Wait until each has ended; every one must be completed."""
        ended = [until(f"task {each} ends", lambda: self.task(each), over) for each in tasks]  # noqa: B023 -- called at once
        assert [each["state"] for each in ended] == ["completed"] * len(tasks), ended
        return ended

    def running(self, tasks: list[str]) -> Iterator[str]:
        """Wait until some of them are at a worker, and yield which."""
        yield from until("a worker has begun", lambda: self._claimed(tasks))

    def _claimed(self, tasks: list[str]) -> list[str]:
        """Look at all in one command: each takes so long that others would be over meanwhile."""
        claims = [f"buckstop:claim:{task}/1" for task in tasks]
        states = self.redis("admin", "EVAL", _STATES, "0", *claims).split("\n")
        return [task for task, state in zip(tasks, states, strict=True) if state == "claimed"]


def over(task: Mapping[str, Any]) -> bool:
    """Say whether a task has ended, or waits for a person."""
    return task["state"] in ENDED or task["letter"] is not None
