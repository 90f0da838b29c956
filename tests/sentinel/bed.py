"""A primary, two replicas and three Sentinels, of the embedded server's binary.

    with Bed(folder) as bed:
        bed.url                 what a user sets: redis+sentinel://...
        bed.kill_primary()      SIGKILL whoever is it now

Needs nothing but that binary: a Sentinel is the same program, started with another word. By TLS it
needs another one (tests/tls/).
"""

import os
import subprocess
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import parse_qsl, quote

from redis import Redis
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError, ResponseError

from orchestrator.embedded import find_binary
from orchestrator.leash import leashed
from tests.ports import free_port
from tests.sentinel.line import Line
from tests.tls.bed import Certificates
from tests.until import until

SERVICE = "mymaster"
PASSWORD = "a password"
DOWN_AFTER_MS = 5_000
"""Silence after which a Sentinel calls the primary down; with less, a busy machine is called so."""
PAUSE_MS = 120_000
"""How long writes are held at most; the new primary ends it for those who find it."""
PATIENCE_S = 120
"""For what Sentinels do: one that has stood still keeps out of everything for half a minute, and an
election that came to nothing is held again after twenty seconds."""
NODES, SENTINELS = 3, 3


class Bed:
    """Six processes that end with this one."""

    def __init__(
        self,
        folder: Path,
        *,
        replicas_to_write: int = 0,
        down_after_ms: int = DOWN_AFTER_MS,
        cuttable: bool = False,
        tls: Certificates | None = None,
        binary: Path | None = None,
    ) -> None:
        """Prepare; `cuttable` puts a line in front of the first primary."""
        self._folder = folder
        self._binary = str(binary or find_binary(os.environ))
        self._tls = tls
        self._asked, self._down_after_ms = replicas_to_write, down_after_ms
        self._processes: dict[int, subprocess.Popen[bytes]] = {}
        ports = [free_port() for _ in range(NODES + SENTINELS)]
        self.nodes, self.sentinels = ports[:NODES], ports[NODES:]
        self.line = Line(self.nodes[0]) if cuttable else None
        hosts = ",".join(f"127.0.0.1:{port}" for port in self.sentinels)
        scheme, query = ("rediss", f"?{tls.query}") if tls else ("redis", "")
        self.url = f"{scheme}+sentinel://:{quote(PASSWORD)}@{hosts}/{SERVICE}/0{query}"

    def __enter__(self) -> Self:
        first = self.line.port if self.line else self.nodes[0]
        for port in self.nodes:
            self.start_node(port, None if port == self.nodes[0] else first)
        for port in self.sentinels:
            self._start_sentinel(port, first)
        until("replicas are in step", self._in_step, PATIENCE_S)
        until("Sentinels know all", lambda: all(map(self._knows_all, self.sentinels)), PATIENCE_S)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for process in self._processes.values():
            process.kill()
            process.wait()
        if self.line:
            self.line.close()

    def primary(self) -> int:
        """Return the port of the primary, as most Sentinels have it."""
        found = []
        for port in self.sentinels:
            with self._reach(port) as asked:
                found.append(int(asked.sentinel_get_master_addr_by_name(SERVICE)[1]))
        return max(found, key=found.count)

    def client(self, port: int) -> Redis:
        """Connect to one node, whatever it is."""
        return self._reach(port, password=PASSWORD)

    def _reach(self, port: int, **more: Any) -> Redis:
        tls = dict(parse_qsl(self._tls.query)) if self._tls else {}
        return Redis(port=port, socket_timeout=5, ssl=bool(tls), **tls, **more)

    def kill_primary(self) -> int:
        """SIGKILL the primary; return its port."""
        port = self.primary()
        self.kill(port)
        return port

    def kill_sentinel(self, number: int) -> None:
        """SIGKILL one of those who watch."""
        process = self._processes[self.sentinels[number]]
        process.kill()
        process.wait()

    def kill(self, port: int) -> None:
        """SIGKILL a node, named by the port at which it is reached."""
        real = self.nodes[0] if self.line and port == self.line.port else port
        self._processes[real].kill()
        self._processes[real].wait()

    def hand_over(self) -> None:
        """Let a living primary hand over without a loss: it holds writes until somebody else is."""
        old = self.primary()
        with self.client(old) as primary:
            primary.client_pause(PAUSE_MS, all=False)
            said = primary.info("replication")
            until("replicas have it all", lambda: self._have(said["master_repl_offset"]))
        until("Sentinels agree", self._fail_over, PATIENCE_S)
        until("another is primary", lambda: self.primary() != old, PATIENCE_S)

    def _have(self, offset: int) -> bool:
        followers = [port for port in self.nodes if port != self.primary()]
        for port in followers:
            with self.client(port) as replica:
                if int(replica.info("replication")["slave_repl_offset"]) < offset:
                    return False
        return True

    def _fail_over(self) -> bool:
        """Tell a Sentinel to; False where it knows nobody good enough yet."""
        with self._reach(self.sentinels[0]) as asked:
            try:
                asked.sentinel_failover(SERVICE)
            except ResponseError:
                return False
        return True

    def start_node(self, port: int, replica_of: int | None) -> None:
        """Start a node, or start it again on what it had written."""
        config = {
            "dir": self._home(port),
            "requirepass": f'"{PASSWORD}"',
            "masterauth": f'"{PASSWORD}"',
            "appendonly": "yes",
            "appendfsync": "always",
            "save": '""',
            "repl-diskless-sync-delay": 0,
            "min-replicas-to-write": self._asked,
            "min-replicas-max-lag": 2,
        }
        if replica_of is not None:
            config["replicaof"] = f"127.0.0.1 {replica_of}"
        self._start(port, [f"{name} {value}" for name, value in config.items()])

    def _start_sentinel(self, port: int, primary: int) -> None:
        lines = [
            f"dir {self._home(port)}",
            f"sentinel monitor {SERVICE} 127.0.0.1 {primary} 2",
            f'sentinel auth-pass {SERVICE} "{PASSWORD}"',
            f"sentinel down-after-milliseconds {SERVICE} {self._down_after_ms}",
            f"sentinel failover-timeout {SERVICE} 10000",
        ]
        self._start(port, lines, "--sentinel")

    def _start(self, port: int, lines: Sequence[str], *more: str) -> None:
        config = self._home(port) / "server.conf"
        listens = (
            ["port 0", f"tls-port {port}", *self._tls.lines] if self._tls else [f"port {port}"]
        )
        always = ["bind 127.0.0.1", *listens, f"logfile {port}.log"]
        config.write_text("\n".join([*always, *lines]) + "\n")
        self._processes[port] = subprocess.Popen(
            leashed([self._binary, str(config), *more]),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    def _home(self, port: int) -> Path:
        home = self._folder / str(port)
        home.mkdir(parents=True, exist_ok=True)
        return home

    def _in_step(self) -> bool:
        """Say whether every replica has all that the primary had when it began to follow."""
        try:
            for port in self.nodes[1:]:
                with self.client(port) as replica:
                    if replica.info("replication").get("master_link_status") != "up":
                        return False
        except RedisConnectionError:
            return False  # it is just starting
        return True

    def _knows_all(self, port: int) -> bool:
        try:
            with self._reach(port) as asked:
                state = asked.sentinel_master(SERVICE)
        except RedisError:
            return False  # it is just starting
        return state["num-other-sentinels"] == SENTINELS - 1 and state["num-slaves"] == NODES - 1
