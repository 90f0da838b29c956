"""What can go wrong with a model, as an agent sees it.

    LLMError
      RefusedByServer   it said no, and would say no again: 400, 401, 404, a spent quota
      ServerAway        it could not be reached, was busy or broke off, as often as was tried
      BadAnswer         it answered something that is no use: no JSON, no choice, the wrong shape

An agent that lets one pass ends in a `failed` envelope with its text as the reason. None of these
texts holds a key: whatever a server or a library says is cleaned first (server.py).

What the budget or the clock forbids is no error of the model's: BudgetExhausted, Late, Revoked and
PriceUnknown come from the meter as they are.
"""


class LLMError(Exception):
    """A call to a model did not bring an answer."""


class RefusedByServer(LLMError):
    """The server will not answer this request, however often it is sent."""

    def __init__(self, said: str, status: int) -> None:
        super().__init__(said)
        self.status = status
        """The HTTP status."""


class ServerAway(LLMError):
    """No answer came, but one may come later."""

    def __init__(self, said: str, *, retry_after_s: float | None = None) -> None:
        super().__init__(said)
        self.retry_after_s = retry_after_s
        """How long the server wants to be left alone, if it said so."""


class BadAnswer(LLMError):
    """An answer came and was paid for, but cannot be used."""


class ToolError(Exception):
    """Raise it in a tool for what the model should read and work around; all else ends the run."""
