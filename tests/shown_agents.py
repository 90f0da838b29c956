"""Agents that end in each way a subtask can end, for whoever looks on."""

from pathlib import Path

from workers import Context, Envelope, Question, Status, agent


@agent("says")
def says(ctx: Context, input: str) -> Envelope:  # noqa: A002 - the word that payloads use
    """Spend a little, and end as told."""
    with ctx.meter.call(input_tokens=10, max_tokens=90) as call:
        call.used(10, 20)
    match input:
        case "raise":
            raise RuntimeError("the lamp is out")
        case "partial":
            return Envelope.partial("half", 0.4, "the other half is missing")
        case "ask":
            return Envelope(
                status=Status.PARTIAL, reason="which one?", ask=Question(text="which one?")
            )
        case _:
            return Envelope.success("s3cret result", 0.9)


@agent("waits")
def waits(ctx: Context, input: str) -> Envelope:  # noqa: A002 - the word that payloads use
    """Run until there is a file of this name."""
    while not Path(input).exists() and not ctx.cancelled.wait(0.05):
        pass
    return Envelope.success("waited", 1.0)
