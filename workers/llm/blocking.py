"""The same client for agents that are plain functions.

    @agent("write")
    def write(ctx: Context, goal: str) -> Envelope:
        answer = chat.blocking.ask(ctx, goal, max_tokens=800)

The question is asked on an event loop of this module's own, and the caller's thread waits. So there
is one client, not two that differ; and taking the subtask away ends the wait, which a blocking
socket could not be told.
"""

import asyncio
import os
from collections.abc import Coroutine
from concurrent.futures import CancelledError
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import BaseModel

from workers.context import Context
from workers.llm.answer import Answer
from workers.llm.prompt import Messages
from workers.loop import Loop
from workers.meter import Revoked

if TYPE_CHECKING:
    from workers.llm.chat import Chat

T = TypeVar("T")
Shape = TypeVar("Shape", bound=BaseModel)


class _Waiting:
    """The loop that questions of plain functions are asked on."""

    def __init__(self) -> None:
        self.loop = Loop()

    def renew(self) -> None:
        """Start anew in a forked process: threads are not inherited."""
        self.loop = Loop()


_waiting = _Waiting()
os.register_at_fork(after_in_child=_waiting.renew)


class BlockingChat:
    """A Chat whose questions are waited for."""

    def __init__(self, chat: "Chat") -> None:
        self._chat = chat

    def ask(self, ctx: Context, messages: Messages, **more: Any) -> Answer:
        """Return the model's answer; see Chat.ask."""
        return _wait(ctx, self._chat.ask(ctx, messages, **more))

    def run(self, ctx: Context, messages: Messages, **more: Any) -> Answer:
        """Let the model call functions; see Chat.run."""
        return _wait(ctx, self._chat.run(ctx, messages, **more))

    def parse(self, ctx: Context, shape: type[Shape], messages: Messages, **more: Any) -> Shape:
        """Return the answer as a pydantic model; see Chat.parse."""
        return _wait(ctx, self._chat.parse(ctx, shape, messages, **more))


def _wait(ctx: Context, question: Coroutine[Any, Any, T]) -> T:
    """Wait for an answer, or until nobody wants it any more."""
    _not_on_a_loop(question)
    future = _waiting.loop.submit(question)
    ctx.when_cancelled(future.cancel)
    try:
        return future.result()
    except CancelledError:
        if not ctx.cancelled.is_set():
            raise
        raise Revoked("the subtask was taken away from this worker") from None
    finally:
        future.cancel()  # whatever ends this wait ends the question: a signal, too


def _not_on_a_loop(question: Coroutine[Any, Any, T]) -> None:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return
    question.close()
    raise RuntimeError("this would hold up every agent of the process; in async code: await chat")
