"""Real processes to be killed: orchestrators and Celery workers, each started again at once."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

from orchestrator import keyfile
from orchestrator.leash import leashed
from orchestrator.store import Store

ROOT = Path(__file__).parents[1]


class Fleet:
    """Orchestrators and workers on one server; ends only what it started."""

    def __init__(self, folder: Path, url: str, prefix: str, agents: str) -> None:
        pair = keyfile.make(folder)
        self.effects = folder / "effects"
        self.effects.touch()
        self._folder = folder
        self._env = {
            **os.environ,
            "BUCKSTOP_URL": url,
            "BUCKSTOP_PREFIX": prefix,
            "BUCKSTOP_AGENTS": agents,
            "BUCKSTOP_SIGNING_KEY_FILE": str(pair.private),
            "BUCKSTOP_PUBLIC_KEYS_FILE": str(pair.public),
            "BUCKSTOP_GRACE": "2",
            "EFFECTS": str(self.effects),
        }
        self._commands: dict[str, tuple[list[str], Path]] = {}
        self.running: dict[str, subprocess.Popen[bytes]] = {}

    def orchestrator(self, name: str, tree: Path = ROOT, **limits: int) -> None:
        """Start one more orchestrator, of the version that lies there; with other limits."""
        limited = ["tests.limited", json.dumps(limits)] if limits else []
        self._start(name, [*limited, "orchestrator.serve"], tree)

    def worker(
        self, name: str, pool: str = "threads", concurrency: int = 4, tree: Path = ROOT
    ) -> None:
        """Start one more worker, of the version that lies there."""
        command = ["celery", "-A", "workers.app", "worker", "-n", f"{name}@%h"]
        self._start(name, [*command, "-P", pool, "-c", str(concurrency)], tree)

    def kill(self, name: str) -> None:
        """SIGKILL one, and start it again."""
        process = self.running[name]
        process.kill()
        process.wait()
        self._start(name, *self._commands[name])

    def end(self, name: str) -> None:
        """SIGKILL one for good."""
        process = self.running.pop(name)
        process.kill()
        process.wait()

    def kill_a_child(self, name: str) -> None:
        """SIGKILL one process of a prefork pool; its parent lives on."""
        pid = self.running[name].pid
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        if children:  # a pool that is just starting has none yet
            os.kill(int(children[0]), signal.SIGKILL)

    def freeze(self, name: str) -> None:
        """SIGSTOP one: it does not know that time goes on."""
        self.running[name].send_signal(signal.SIGSTOP)

    def thaw(self, name: str) -> None:
        """SIGCONT it."""
        self.running[name].send_signal(signal.SIGCONT)

    def stop(self) -> None:
        """End all of them."""
        for process in self.running.values():
            process.send_signal(signal.SIGCONT)
            process.kill()
        for process in self.running.values():
            process.wait()

    def log(self, name: str) -> str:
        """Return what it has said."""
        return (self._folder / f"{name}.log").read_text(errors="replace")

    def _start(self, name: str, command: list[str], tree: Path = ROOT) -> None:
        self._commands[name] = command, tree
        with (self._folder / f"{name}.log").open("ab") as log:
            self.running[name] = subprocess.Popen(
                leashed([sys.executable, "-m", *command]),
                env={**self._env, "PYTHONPATH": str(tree)},
                cwd=tree,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )


def ended(store: Store) -> int:
    """Count the tasks that have ended."""
    return sum(n for name, n in store.stats().items() if name.startswith("concluded_"))
