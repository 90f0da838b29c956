"""A post office and a real worker, for tests of the worker alone: no orchestrator decides anything.

`Office` publishes subtasks as an orchestrator does (same store, same signature, Celery's own
encoding) and reads what comes back in the mail. `Worker` is `celery -A workers.app worker`.
"""

import json
import os
import secrets
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any, Self
from uuid import uuid4

from envelopes import Amounts, Envelope, Limits
from envelopes.keys import Keys
from envelopes.scripts import Scripts
from envelopes.seal import Signer, Verifier
from orchestrator.keyfile import encode, public_of
from orchestrator.store import Commit, Outgoing, Store, Submission
from orchestrator.wire import Fields, body_of, encode_with_celery
from tests.until import PATIENCE_S, until
from workers import gate
from workers.agent import Agent
from workers.claims import LUA, Claims
from workers.context import Grant
from workers.gate import inspect
from workers.line import Line
from workers.loop import Loop
from workers.runtime import Run

ROOT = Path(__file__).parents[1]
PRIVATE_KEY = bytes(range(32))
HOUR_MS = 3_600_000


@dataclass(frozen=True)
class Message:
    """A message as it is published, in parts that a test may spoil before it is sealed."""

    subtask: int
    headers: dict[str, Any]
    body: str
    allowance: Limits
    timeout_ms: int

    @property
    def id(self) -> str:
        return f"{self.headers['task']}/{self.subtask}"

    def sealed(self, signer: Signer) -> dict[str, Any]:
        """Return the message as JSON, signed, in Celery's encoding."""
        text = json.dumps(self.headers, separators=(",", ":"))
        ours = {
            "buckstop": text,
            "buckstop_seal": signer.seal([text.encode()])[0],
            "buckstop_claim": f"{self.id}:{self.headers['nonce']}",
        }
        fields = Fields(self.id, "", "args", "kwargs", self.timeout_ms // 1000 + 5, ours)
        encoded = encode_with_celery(self.headers["agent"], self.headers["queue"], fields)
        return json.loads(encoded) | {"body": self.body}


@dataclass(frozen=True)
class Report:
    """A worker's letter to the owner."""

    charged: Amounts
    envelope: Envelope


class Office:
    """One task's owner, without a will of its own."""

    def __init__(self, client, keys: Keys) -> None:
        self.client, self.keys = client, keys
        self.store = Store(client, keys)
        self.signer = Signer(PRIVATE_KEY)
        self.task = f"t{uuid4().hex[:12]}"
        self._last = 0
        request = Submission(self.task, b"{}", {}, "default", None, HOUR_MS, HOUR_MS)
        self.now_ms = self.store.submit(request).now_ms

    def message(self, agent: str, **more: Any) -> Message:
        """Write a message that an orchestrator could have written."""
        self._last += 1
        payload = json.dumps(more.pop("payload", {"goal": "g", "input": None, "inputs": {}}))
        allowance = more.pop("allowance", Limits(tokens=1000, calls=10))
        body = body_of(payload)
        headers = {
            "v": 1,
            "task": self.task,
            "subtask": self._last,
            "agent": agent,
            "queue": self.keys.queue(agent),
            "step": "s",
            "attempt": 1,
            "hop": 1,
            "hops_max": 12,
            "ledger": {"ceiling": {"tokens": 10_000}},
            "allowance": {
                "tokens": allowance.tokens,
                "usd_micros": allowance.usd_micros,
                "calls": allowance.calls,
            },
            "issued_ms": self.now_ms,
            "deadline_ms": self.now_ms + HOUR_MS,
            "timeout_ms": 60_000,
            "tenant": "default",
            "nonce": secrets.token_hex(16),
            "body_sha256": sha256(body.encode()).hexdigest(),
        } | more
        return Message(self._last, headers, body, allowance, headers["timeout_ms"])

    def publish(self, *messages: Message, raw: dict[int, bytes] | None = None) -> list[str]:
        """Commit them: claims issued, messages on their queues."""
        publish = tuple(
            Outgoing(
                m.headers["agent"],
                m.headers["queue"],
                m.subtask,
                m.headers["nonce"],
                m.allowance,
                m.headers["deadline_ms"],
                m.timeout_ms,
                (raw or {}).get(m.subtask) or json.dumps(m.sealed(self.signer)).encode(),
            )
            for m in messages
        )
        version = int(self.client.hget(self.keys.task(self.task), "version"))
        commit = Commit(
            self.task,
            version,
            uuid4().hex,
            {},
            (),
            0,
            self.now_ms + HOUR_MS,
            (),
            (),
            publish,
            None,
            None,
            b"{}",
            None,
            HOUR_MS,
        )
        assert self.store.commit([commit]) == [True]
        return [m.id for m in messages]

    def send(self, agent: str, **more: Any) -> str:
        """Publish one subtask."""
        return self.publish(self.message(agent, **more))[0]

    def push(self, raw: bytes, queue: str) -> None:
        """Put bytes onto a queue, as a stranger would: no claim, no bell."""
        self.client.lpush(queue, raw)

    def reports(self) -> dict[str, Report]:
        """Read the mail, without taking it away."""
        return dict(map(self._read, self.client.lrange(self.keys.mail(self.task), 0, -1)))

    def report(self, subtask: str, timeout_s: float = PATIENCE_S) -> Report:
        """Wait for one subtask's report."""
        until(f"a report of {subtask}", lambda: subtask in self.reports(), timeout_s)
        return self.reports()[subtask]

    def claim(self, subtask: str) -> dict[str, str]:
        """Return the record of who runs it."""
        found = self.client.hgetall(self.keys.claim(subtask))
        return {name.decode(): value.decode() for name, value in found.items()}

    def letters(self) -> list[dict[str, bytes]]:
        """Return all open letters, newest first."""
        return self.store.read_letters([each.id for each in self.store.find_letters(count=1_000)])

    def _read(self, letter: bytes) -> tuple[str, Report]:
        head, envelope = letter.split(b"\n", 1)
        _, number, _, *charged = head.decode().split()
        return f"{self.task}/{number}", Report(
            Amounts(*map(int, charged)), Envelope.model_validate_json(envelope)
        )


@dataclass
class Worker:
    """`celery -A workers.app worker` as a process of its own."""

    url: str
    keys: Keys
    directory: Path
    modules: str = "tests.staff"
    arguments: tuple[str, ...] = ("--pool", "threads", "-c", "4")
    environ: dict[str, str] = field(default_factory=dict)
    process: subprocess.Popen | None = None

    @property
    def log(self) -> Path:
        return self.directory / "worker.log"

    @property
    def effects(self) -> Path:
        """Where the test agents write what they did."""
        return self.directory / "effects"

    def __enter__(self) -> Self:
        environ = (
            os.environ
            | {
                "BUCKSTOP_URL": self.url,
                "BUCKSTOP_PREFIX": self.keys.prefix,
                "BUCKSTOP_AGENTS": self.modules,
                "BUCKSTOP_PUBLIC_KEYS": encode(public_of(PRIVATE_KEY)),
                "EFFECTS": str(self.effects),
                "PYTHONPATH": str(ROOT),
            }
            | self.environ
        )
        self.process = subprocess.Popen(
            [
                sys.executable,
                "-m",
                "celery",
                "-A",
                "workers.app",
                "worker",
                "-l",
                "info",
                "-n",
                f"w{secrets.token_hex(4)}@%h",
                *self.arguments,
            ],
            stdout=subprocess.DEVNULL,
            stderr=self.log.open("a"),
            cwd=ROOT,
            env=environ,
        )
        return self

    def __exit__(self, *_: object) -> None:
        assert self.process is not None
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(PATIENCE_S)

    def wait_ready(self, timeout_s: float = PATIENCE_S) -> "Worker":
        until("ready", lambda: "ready." in self.log.read_text(), timeout_s)
        return self

    def terminate(self, timeout_s: float) -> int:
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout_s)

    def ran(self) -> list[str]:
        """Return which subtasks' agents were run, in order."""
        return self.effects.read_text().split() if self.effects.exists() else []


class Hands:
    """What a worker process has, without Celery: fetch, gate, runtime, on the real server."""

    def __init__(self, client, keys: Keys) -> None:
        self.keys = keys
        self.scripts = Scripts(client, LUA, keys)
        self.claims = Claims(Line(self.scripts), keys, f"hands-{uuid4().hex[:6]}")
        self.loop = Loop()
        self.verifier = Verifier([public_of(PRIVATE_KEY)])

    def take(self, name: str) -> tuple[Grant, str]:
        """Fetch one message and open it."""
        now_ms, (fetched,) = self.claims.fetch([self.keys.queue(name)], 1)
        message = inspect(fetched.raw, fetched.queue, now_ms, self.verifier, {f"agent.{name}"})
        assert isinstance(message, gate.Message), message
        assert fetched.state == "claimed"
        headers = message.headers
        left_s = min(headers.timeout_ms, headers.deadline_ms - now_ms) / 1000
        return Grant(headers, fetched.token, time.monotonic() + left_s), message.payload

    def open(self, agent: Agent) -> Run:
        """Fetch one message for an agent; it is not run yet."""
        return Run.of(agent, *self.take(agent.name), self.claims, self.loop)
