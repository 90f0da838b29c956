"""A local server that speaks OpenAI's two protocols over real HTTP, and answers as it is told.

    with OpenAIServer(Says("hello"), Calls("look_up", what="x")) as server: ... server.url

One answer of the script for each request, in order; a request beyond its end is answered 500, and
stands in `requests` like all others. `/chat/completions` and `/responses`, plain and as streams.
"""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Lock, Thread
from typing import Any, Self

Usage = tuple[int, int] | None
DEFAULT_USAGE = (40, 7)


@dataclass(frozen=True)
class Says:
    """The model's words."""

    text: str
    usage: Usage = DEFAULT_USAGE
    cut: bool = False
    """Whether the connection is cut in the middle of a stream."""

    def chat(self) -> dict[str, Any]:
        return {"role": "assistant", "content": self.text}

    def item(self) -> dict[str, Any]:
        part = {"type": "output_text", "text": self.text, "annotations": []}
        return {"type": "message", "id": "m1", "role": "assistant", "status": "completed"} | {
            "content": [part]
        }


@dataclass(frozen=True)
class Calls:
    """The model's wish to use a tool."""

    tool: str
    arguments: dict[str, Any] = field(default_factory=dict)
    usage: Usage = DEFAULT_USAGE
    cut: bool = False

    def chat(self) -> dict[str, Any]:
        function = {"name": self.tool, "arguments": json.dumps(self.arguments)}
        call = {"id": "call_1", "type": "function", "function": function}
        return {"role": "assistant", "content": None, "tool_calls": [call]}

    def item(self) -> dict[str, Any]:
        return {
            "type": "function_call",
            "id": "f1",
            "call_id": "call_1",
            "status": "completed",
            "name": self.tool,
            "arguments": json.dumps(self.arguments),
        }


@dataclass(frozen=True)
class Fails:
    """An error of the server's own."""

    status: int = 500


@dataclass(frozen=True)
class Hangs:
    """No answer, until the server is left."""


Answer = Says | Calls | Fails | Hangs


class OpenAIServer:
    """Runs while it is entered."""

    def __init__(self, *script: Answer, on_request: Callable[[], object] = lambda: None) -> None:
        self.requests: list[dict[str, Any]] = []
        self.paths: list[str] = []
        self._script = list(script)
        self._on_request = on_request
        self._lock = Lock()
        self.left = Event()
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), _handler_of(self))
        self._http.daemon_threads = True

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._http.server_port}/v1"

    def answer(self, path: str, request: dict[str, Any]) -> Answer:
        """Take down a request, and return what the script says to it."""
        with self._lock:
            self._on_request()
            self.requests.append(request)
            self.paths.append(path)
            return self._script.pop(0) if self._script else Fails()

    def __enter__(self) -> Self:
        Thread(target=self._http.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.left.set()
        self._http.shutdown()
        self._http.server_close()


def _handler_of(server: OpenAIServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            length = int(self.headers["Content-Length"])
            request = json.loads(self.rfile.read(length))
            answer = server.answer(self.path, request)
            if isinstance(answer, Hangs):
                server.left.wait()
                answer = Fails()
            if isinstance(answer, Fails):
                self._send(answer.status, b'{"error": {"message": "scripted"}}')
            elif request.get("stream"):
                self._stream(answer, request)
            else:
                make = _response if self.path.endswith("/responses") else _completion
                self._send(200, json.dumps(make(answer)).encode())

        def _send(self, status: int, body: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def _stream(self, answer: Says | Calls, request: dict[str, Any]) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/event-stream")
            self.end_headers()
            responses = self.path.endswith("/responses")
            events = list((_response_events if responses else _chunks)(answer, request))
            for event in events[: 1 + len(events) // 2] if answer.cut else events:
                self.wfile.write(f"data: {json.dumps(event)}\n\n".encode())
            if not answer.cut and not responses:
                self.wfile.write(b"data: [DONE]\n\n")
            self.close_connection = True

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    return Handler


def _completion(answer: Says | Calls) -> dict[str, Any]:
    reason = "tool_calls" if isinstance(answer, Calls) else "stop"
    made = _chat("chat.completion") | {
        "choices": [{"index": 0, "message": answer.chat(), "finish_reason": reason}]
    }
    return made | ({"usage": _chat_usage(answer.usage)} if answer.usage else {})


def _chunks(answer: Says | Calls, request: dict[str, Any]) -> Iterator[dict[str, Any]]:
    head, message = _chat("chat.completion.chunk"), answer.chat()
    deltas: list[dict[str, Any]] = [{"role": "assistant", "content": ""}]
    if isinstance(answer, Calls):
        deltas += [{"tool_calls": [call | {"index": 0} for call in message["tool_calls"]]}]
    else:
        deltas += [{"content": letter} for letter in answer.text]
    if answer.usage and (request.get("stream_options") or {}).get("continuous_usage_stats"):
        head |= {"usage": _chat_usage((answer.usage[0], 1))}
    for delta in deltas:
        yield head | {"choices": [{"index": 0, "delta": delta, "finish_reason": None}]}
    reason = "tool_calls" if isinstance(answer, Calls) else "stop"
    yield head | {"choices": [{"index": 0, "delta": {}, "finish_reason": reason}]}
    if answer.usage and (request.get("stream_options") or {}).get("include_usage"):
        yield head | {"choices": [], "usage": _chat_usage(answer.usage)}


def _response(answer: Says | Calls, status: str = "completed") -> dict[str, Any]:
    made = {"id": "r1", "object": "response", "created_at": 1, "model": "gpt-5-mini"}
    made |= {"status": status, "output": [answer.item()], "tools": [], "tool_choice": "auto"}
    made |= {"parallel_tool_calls": True, "error": None, "incomplete_details": None}
    if not answer.usage:
        return made
    into, out = answer.usage
    details = {"input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0}}
    details |= {"output_tokens_details": {"reasoning_tokens": 0}}
    counts = {"input_tokens": into, "output_tokens": out, "total_tokens": into + out}
    return made | {"usage": counts | details}


def _response_events(answer: Says | Calls, _: dict[str, Any]) -> Iterator[dict[str, Any]]:
    item = answer.item()
    empty = _response(answer, "in_progress") | {"output": [], "usage": None}
    at = {"output_index": 0}
    yield {"type": "response.created", "sequence_number": 0, "response": empty}
    yield {"type": "response.output_item.added", "sequence_number": 1, "item": item} | at
    yield {"type": "response.output_item.done", "sequence_number": 2, "item": item} | at
    yield {"type": "response.completed", "sequence_number": 3, "response": _response(answer)}


def _chat(kind: str) -> dict[str, Any]:
    return {"id": "c1", "object": kind, "created": 1, "model": "gpt-5-mini"}


def _chat_usage(usage: tuple[int, int]) -> dict[str, int]:
    into, out = usage
    return {"prompt_tokens": into, "completion_tokens": out, "total_tokens": into + out}
