"""Agents whose traces are looked at: one asks a model, one hands over, one hangs until killed."""

import os
import time
from pathlib import Path

from workers import Context, Envelope, agent
from workers.llm import Chat

chat = Chat("gpt-traced", base_url=os.environ["MODEL_URL"], api_key="sk-planted-secret")


@agent("asker", handoffs=["closer"])
async def asker(ctx: Context, goal: str) -> Envelope:
    """Ask a model, then hand over."""
    answer = await chat.ask(ctx, goal, max_tokens=50)
    return ctx.handoff("closer", goal=goal, input={"said": answer.text}, reason="not mine to end")


@agent("closer")
def closer(ctx: Context, goal: str) -> Envelope:
    """Ask a model from a plain function, and end it."""
    answer = chat.blocking.ask(ctx, goal, max_tokens=50)
    return Envelope.success({"said": answer.text}, confidence=0.9)


@agent("mortal")
def mortal(ctx: Context) -> Envelope:
    """Hang the first time, so that a test can kill the worker; answer the second."""
    mark = Path(os.environ["EFFECTS"]).with_name("was-here")
    if not mark.exists():
        mark.touch()
        time.sleep(600)
    return Envelope.success({}, confidence=0.9)


@agent("refuser")
def refuser(ctx: Context, goal: str) -> Envelope:
    """Fail, and repeat what it was asked."""
    raise RuntimeError(f"cannot do {goal}")


@agent("unsure")
def unsure(ctx: Context) -> Envelope:
    """Be so unsure that a person must decide."""
    return Envelope.success({"text": "maybe"}, confidence=0.2)
