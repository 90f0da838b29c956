"""Agents that say things in every way there is."""

import logging
import os
import threading
import warnings

from workers import Context, Envelope, agent
from workers.llm import Chat

chat = Chat("gpt-logged", base_url=os.environ["MODEL_URL"], api_key="sk-planted-key")


@agent("talker")
async def talker(ctx: Context, goal: str) -> Envelope:
    """Say something by each way, and ask a model; none of it repeats what was asked."""
    ctx.log.warning("said by the context")
    logging.getLogger("a.library").warning("said by a library\nin two lines")
    print("said by print\nin two lines")  # noqa: T201 - what a stray print does is looked at
    warnings.warn("said by a warning", stacklevel=1)
    answer = await chat.ask(ctx, goal, max_tokens=50)
    return Envelope.success({"said": answer.text}, confidence=0.9)


@agent("thrower")
def thrower(ctx: Context) -> Envelope:
    """Let a thread of its own die, and raise."""
    thread = threading.Thread(target=lambda: 1 / 0, name="its-own")
    thread.start()
    thread.join()
    raise RuntimeError("it went wrong\nin two lines")
