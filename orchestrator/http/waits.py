"""One question, answered once by whoever has its address: no token, no account.

POST /v1/letters/{id}/wait-token      a person or a service at the desk gives it away
GET  /waits/{token}                   what is asked; looking answers nothing
POST /waits/{token}                   the answer; whoever comes second is told that it is gone
"""

import json
import time
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Request
from pydantic import Field

from envelopes import limits
from envelopes.decision import Decision, Verb
from envelopes.letter import LetterKind
from envelopes.strict import Refused
from orchestrator.cells.waits import CellWaits
from orchestrator.client import DECIDED_WITHIN_S, REREAD_S, Buckstop, DecidedLetter, TimedOut
from orchestrator.http.access import Client, Decides, address_of
from orchestrator.http.bodies import json_body, takes
from orchestrator.http.letters import decided_or_problem, in_patience, visible
from orchestrator.http.models import WHOLE, Id, In, Out
from orchestrator.http.openapi import problems
from orchestrator.http.problems import Problem, too_many
from orchestrator.tokens import hashed
from orchestrator.wait_tokens import Wait, WaitTokens

router = APIRouter(tags=["waits"])

_GONE = "it was answered, or its time is over"
_LINK_CHARS = 12
"""Of an address's hash, in the record: one person may give away several for one question, and the
answer of one of them counts."""
Token = Annotated[str, Path(pattern=r"^[A-Za-z0-9_-]{43}$", description="The address's secret.")]


class NewWait(In):
    """How long an address is to be good for."""

    ttl_s: Annotated[int, Field(ge=1, le=limits.RETENTION_S), WHOLE] = limits.WAIT_DEFAULT_S
    """At most until the letter's due time."""


class WaitMade(Out):
    """An address: the only time that it is shown."""

    url: str
    token: str
    expires_ms: int


class WaitOut(Out):
    """What is asked."""

    question: str
    choices: list[str]
    """The answer is one of them; empty for any answer."""
    task: str
    expires_ms: int


class WaitAnswer(In):
    """The answer."""

    answer: Annotated[str, Field(min_length=1, max_length=limits.REASON_CHARS_MAX)]


class Taken(Out):
    """The answer was taken."""

    letter: str
    answer: str


def wait_tokens_of(request: Request) -> WaitTokens | CellWaits:
    """Return this process's wait tokens."""
    found: WaitTokens | CellWaits = request.app.state.waits
    return found


Book = Annotated[WaitTokens | CellWaits, Depends(wait_tokens_of)]


@router.post(
    "/v1/letters/{letter_id}/wait-token",
    operation_id="new_wait_token",
    status_code=201,
    tags=["letters"],
    openapi_extra=takes("NewWait", required=False),
    responses=problems("not-found", "decided-before"),
)
def new_wait_token(
    http: Request,
    letter_id: Id,
    *,
    buckstop: Client,
    book: Book,
    caller: Decides,
    given: Annotated[NewWait, json_body(NewWait)],
) -> WaitMade:
    """Make an address at which whoever has it answers this question, once."""
    letter = visible(buckstop, caller, letter_id)
    if letter["kind"] != LetterKind.QUESTION:
        raise Refused("letter_id", f"only a question is answered so; this is {letter['kind']}")
    if letter["state"] != "open":
        raise Problem("decided-before", f"{letter['by']} was first: {letter['verb']}")
    made = book.new(letter_id, letter["task"], caller.name, given.ttl_s, letter["due_ms"])
    token, expires_ms = made
    base = http.app.state.public_url or str(http.base_url).rstrip("/")
    return WaitMade(url=f"{base}/waits/{token}", token=token, expires_ms=expires_ms)


@router.get(
    "/waits/{token}", operation_id="get_wait", responses=problems("not-found", "gone", "too-many")
)
def get_wait(http: Request, token: Token, buckstop: Client, book: Book) -> WaitOut:
    """Say what is asked. Looking answers nothing."""
    wait, question = _asked(http, token, buckstop, book)
    return WaitOut(
        question=question["text"],
        choices=list(question.get("choices", ())),
        task=wait.task,
        expires_ms=wait.until_ms,
    )


@router.post(
    "/waits/{token}",
    operation_id="answer_wait",
    openapi_extra=takes("WaitAnswer"),
    responses=problems("not-found", "gone", "too-many", "decided-before", "nobody-acted"),
)
async def answer_wait(
    http: Request,
    token: Token,
    buckstop: Client,
    book: Book,
    given: Annotated[WaitAnswer, json_body(WaitAnswer)],
) -> Taken:
    """Answer, once. Whoever comes second is told that it is gone."""
    return await in_patience(http, lambda: _answered(http, token, buckstop, book, given.answer))


def _answered(
    http: Request, token: str, buckstop: Buckstop, book: WaitTokens | CellWaits, text: str
) -> Taken:
    wait, question = _asked(http, token, buckstop, book)
    choices = question.get("choices") or (text,)
    if text not in choices:
        raise Refused("answer", f"it is one of: {', '.join(choices)}")
    by = f"link of {wait.by}"[: limits.NAME_CHARS_MAX]
    why = f"by the link {hashed(token)[:_LINK_CHARS]}"
    said = Decision(letter=wait.letter, verb=Verb.ANSWER, by=by, why=why, answer=text)
    with buckstop.store.events(wait.task) as events:
        if not book.answer(token, wait.task, said):
            raise Problem("gone", _GONE)
        give_up = time.monotonic() + DECIDED_WITHIN_S
        while (letter := buckstop.letter(wait.letter))["state"] == "open":
            if time.monotonic() > give_up:
                raise TimedOut("the answer is kept, but no orchestrator has acted on it yet")
            events.get(REREAD_S)
    decided_or_problem(DecidedLetter.told(said, letter))
    return Taken(letter=wait.letter, answer=text)


def _asked(
    http: Request, token: str, buckstop: Buckstop, book: WaitTokens | CellWaits
) -> tuple[Wait, dict[str, Any]]:
    """Return what is at an address and what is asked there, or raise Problem."""
    looked = book.look(token, address_of(http))
    if looked.wait_ms:
        raise too_many(looked.wait_ms, "this address was asked too often")
    if looked.wait is None:
        raise Problem("not-found", "there is no such address; ask whoever gave it to you")
    letter = buckstop.store.letter(looked.wait.letter) if looked.wait.open else None
    if letter is None or letter["state"] != b"open":
        raise Problem("gone", _GONE)
    question: dict[str, Any] = json.loads(letter["story"])["question"]
    return looked.wait, question
