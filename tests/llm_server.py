"""A model server that says what a test tells it to, byte for byte, over real HTTP.

A script is a list of Replies, one for each request that comes; what is asked beyond it is answered
with a plain completion. A reply's steps are bytes to send, an Event to wait for, CUT (the
connection breaks off) or HOLD (nothing is sent until the client has left, which sets `gone`).

`Bench` puts a subtask with real books beside it, and one journal for both: what was charged and
what the server saw, in the order in which it happened.
"""

import asyncio
import json
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from threading import Event, Thread
from typing import Any, Self

from envelopes import Amounts, Limits
from tests.shop import Hands, Office
from workers.agent import Agent
from workers.claims import Charged
from workers.context import Context
from workers.llm import Chat, Patience
from workers.meter import Books, Settled
from workers.prices import Price
from workers.runtime import Run

WAIT_S = 60
"""For what must happen; a test that waits this long has failed."""
KEY = "sk-very-secret-0123456789"
CUT, HOLD = object(), object()
NOBODY = Agent("a", lambda _: None, (), is_async=False)


# --- what a server says --------------------------------------------------------------------------


@dataclass(frozen=True)
class Reply:
    """One answer on the wire."""

    steps: Sequence[Any] = ()
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    json_type: bool = True

    def head(self) -> bytes:
        kind = "application/json" if self.json_type else "text/event-stream"
        headers = {"Content-Type": kind, "Transfer-Encoding": "chunked"} | self.headers
        lines = [f"HTTP/1.1 {self.status} Scripted", *(f"{n}: {v}" for n, v in headers.items())]
        return ("\r\n".join(lines) + "\r\n\r\n").encode()


def usage(into: Any = 10, out: Any = 5, **more: Any) -> dict[str, Any]:
    return {"prompt_tokens": into, "completion_tokens": out, "total_tokens": into + out} | more


def completion(text: str | None = "hello", *, used: Any = None, **more: Any) -> Reply:
    """Answer in one piece; `used=False` says nothing of usage."""
    choice = {
        "index": 0,
        "message": {"role": "assistant", "content": text} | more.pop("message", {}),
        "finish_reason": more.pop("finish_reason", "stop"),
    }
    said = {"id": "c-1", "object": "chat.completion", "model": "m-1", "choices": [choice]} | more
    if used is not False:
        said["usage"] = usage() if used is None else used
    return Reply([json.dumps(said).encode()])


def wants(*calls: tuple[str, Any]) -> Reply:
    """Ask for tools to be called: (name, arguments)."""
    listed = [
        {
            "id": f"id-{number}",
            "type": "function",
            "function": {
                "name": name,
                "arguments": given if isinstance(given, str) else json.dumps(given),
            },
        }
        for number, (name, given) in enumerate(calls)
    ]
    return completion(None, message={"tool_calls": listed}, finish_reason="tool_calls")


def event(said: Any) -> bytes:
    return b"data: " + json.dumps(said, ensure_ascii=False).encode() + b"\n\n"


def delta(text: str | None = None, finish: str | None = None, **more: Any) -> bytes:
    choice = {"index": 0, "delta": {"content": text} | more, "finish_reason": finish}
    return event({"id": "c-1", "model": "m-1", "choices": [choice]})


def last(used: Any) -> bytes:
    """Return the event in which OpenAI's servers say what a stream used."""
    return event({"id": "c-1", "model": "m-1", "choices": [], "usage": used})


DONE = b"data: [DONE]\n\n"


def streamed(*steps: Any) -> Reply:
    return Reply(steps, json_type=False)


def refusal(status: int, message: str = "no", **headers: str) -> Reply:
    said = json.dumps({"error": {"message": message, "type": "t"}}).encode()
    return Reply([said], status, {name.replace("_", "-"): value for name, value in headers.items()})


# --- the server ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Seen:
    """One request as it arrived."""

    line: str
    headers: dict[str, str]
    raw: bytes
    peer: object
    """The other end of its connection."""

    @property
    def body(self) -> dict[str, Any]:
        return json.loads(self.raw)


class ModelServer:
    """Serves a script on a port of its own, on a thread of its own."""

    def __init__(self, journal: list[tuple[str, Any]]) -> None:
        self.script: list[Reply] = []
        self.seen: list[Seen] = []
        self.gone = Event()
        """A client has left while it was being answered."""
        self._journal = journal
        self._ready = Event()
        self._loop = asyncio.new_event_loop()
        self._open: set[asyncio.Task[None]] = set()
        self._thread = Thread(target=self._serve, name="model-server", daemon=True)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._ready.wait(WAIT_S)
        return self

    def __exit__(self, *_: object) -> None:
        asyncio.run_coroutine_threadsafe(self._end(), self._loop).result(WAIT_S)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(WAIT_S)
        self._loop.close()

    def _serve(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._server = self._loop.run_until_complete(
            asyncio.start_server(self._connected, "127.0.0.1", 0)
        )
        self.port = self._server.sockets[0].getsockname()[1]
        self._ready.set()
        self._loop.run_forever()

    async def _end(self) -> None:
        self._server.close()
        for task in self._open:
            task.cancel()
        await asyncio.gather(*self._open, return_exceptions=True)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._open.add(task)
        try:
            while await self._answer(reader, writer):
                pass
        except (ConnectionError, asyncio.IncompleteReadError):
            self.gone.set()
        finally:
            writer.close()
            self._open.discard(task)

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Answer one request; say whether another may follow on this connection."""
        line = (await reader.readline()).decode().strip()
        if not line:
            return False
        headers: dict[str, str] = {}
        while header := (await reader.readline()).decode().strip():
            name, _, value = header.partition(":")
            headers[name.lower()] = value.strip()
        raw = await reader.readexactly(int(headers.get("content-length", 0)))
        self._journal.append(("seen", json.loads(raw)))
        self.seen.append(Seen(line, headers, raw, writer.get_extra_info("peername")))
        reply = self.script.pop(0) if self.script else completion()
        return await self._send(reply, reader, writer)

    async def _send(
        self, reply: Reply, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> bool:
        if not (reply.steps and reply.steps[0] in (CUT, HOLD)):
            writer.write(reply.head())
        for step in reply.steps:
            if step is CUT:
                await writer.drain()
                writer.close()
                return False
            if step is HOLD:
                await reader.read()
                self.gone.set()
                return False
            if isinstance(step, Event):
                await asyncio.to_thread(step.wait, WAIT_S)
                continue
            writer.write(b"%x\r\n%s\r\n" % (len(step), step))
            await writer.drain()
        writer.write(b"0\r\n\r\n")
        await writer.drain()
        return True


# --- a subtask beside it -------------------------------------------------------------------------


@dataclass(frozen=True)
class Recorded:
    """The server's real books, with a note of what they let through."""

    books: Books
    journal: list[tuple[str, Any]]

    def charge(self, op: str, worst: Amounts, settled: Sequence[Settled], model: str, /) -> Charged:
        answer = self.books.charge(op, worst, settled, model)
        if answer == "ok":
            self.journal.append(("charged", worst))
        return answer


class Bench:
    """A model server, an office that publishes subtasks, and hands that run them."""

    def __init__(self, fresh) -> None:
        self.journal: list[tuple[str, Any]] = []
        self.server = ModelServer(self.journal)
        self.office = Office(fresh.client, fresh.keys)
        self.hands = Hands(fresh.client, fresh.keys)

    def __enter__(self) -> Self:
        self.server.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        self.server.__exit__(*error)
        self.hands.loop.charges.shutdown()

    def open(self, *, price: Price | None = None, agent: Agent = NOBODY, **more: Any) -> Run:
        """Publish a subtask and open it; it is not run yet."""
        more.setdefault("allowance", Limits(tokens=10_000, calls=20))
        self.office.send(agent.name, **more)
        run = self.hands.open(agent)
        meter = run.context.meter
        meter.price, meter._books = price, Recorded(meter._books, self.journal)
        return run

    def chat(self, model: str = "m", **more: Any) -> Chat:
        """Make a client of the server that does not wait long between attempts."""
        more.setdefault("base_url", self.server.url)
        more.setdefault("api_key", KEY)
        more.setdefault("patience", Patience(backoff_s=0.001))
        return Chat(model, **more)

    def said(self, *script: Reply) -> None:
        """Have the server say this next."""
        self.server.script[:] = script

    def booked(self, run: Run) -> Amounts:
        """Return what the server's books hold, once all that has ended is settled."""
        grant, settled = run.grant, run.context.meter.settlements()
        answer = run.claims.charge(grant.subtask, grant.token, "look", Amounts(), settled)
        assert answer in ("ok", "exhausted"), "both settle what has ended"
        claim = self.office.claim(grant.subtask)
        return Amounts(int(claim["t"]), int(claim["u"]), int(claim["c"]))


def wait_for(chat: Chat, work: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
    """Run async code to its end, and close what it opened."""

    async def whole() -> Any:
        try:
            async with asyncio.timeout(WAIT_S):
                return await work()
        finally:
            await chat.aclose()

    return asyncio.run(whole())


def ask(chat: Chat, ctx: Context, messages: Any = "hi", **more: Any) -> Any:
    """Ask one question."""
    return wait_for(chat, lambda: chat.ask(ctx, messages, **more))
