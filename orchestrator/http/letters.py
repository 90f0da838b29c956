"""Letters: what waits for a person, and what they decide."""

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Annotated, Any, TypeVar

import anyio.to_thread
from fastapi import APIRouter, Depends, Query, Request

from envelopes import limits
from envelopes.decision import Decision
from envelopes.letter import Facet, LetterKind
from orchestrator.client import Buckstop, DecidedLetter
from orchestrator.http import shown_letters
from orchestrator.http.access import Caller, Client, Decides, Reads
from orchestrator.http.bodies import json_body, json_value, takes
from orchestrator.http.decisions import (
    Amendment,
    Bulk,
    BulkDecided,
    Checked,
    DecidedOut,
    Fault,
    Preview,
    decision,
    wanted,
)
from orchestrator.http.models import CellQuery, Cursor, Id, Limit, TenantQuery, cursor_of, place_of
from orchestrator.http.openapi import problems
from orchestrator.http.problems import Problem, full
from orchestrator.http.shown_letters import Counts, LetterOut, LetterPage
from orchestrator.wanted import Wanted

router = APIRouter(prefix="/v1/letters", tags=["letters"])

Done = TypeVar("Done")
_ANY = "any"
"""Stands for a letter's id where a decision is about many."""
_Text = Annotated[str | None, Query(max_length=limits.NAME_CHARS_MAX)]


def filtered(
    caller: Reads,
    *,
    kind: Annotated[LetterKind | None, Query(description="Of this kind.")] = None,
    reason: _Text = None,
    agent: _Text = None,
    tenant: TenantQuery = None,
    older_s: Annotated[
        int | None,
        Query(ge=0, le=limits.LETTER_AGE_S_MAX, description="That have waited so many seconds."),
    ] = None,
    cell: CellQuery = None,
) -> Wanted:
    """Return which letters are meant, of those that the caller may see."""
    meant = wanted(kind, reason, agent, caller.only(tenant), older_s)
    return replace(meant, cell=cell)


Filtered = Annotated[Wanted, Depends(filtered)]


@router.get("", operation_id="list_letters")
def list_letters(
    buckstop: Client, meant: Filtered, limit: Limit = limits.PAGE_DEFAULT, cursor: Cursor = None
) -> LetterPage:
    """List open letters, newest first."""
    found = buckstop.letters(limit, place_of(cursor), meant)
    return LetterPage(
        items=list(map(shown_letters.short, found.items)),
        next=cursor_of(found.next),
        total=buckstop.store.count_letters(meant),
    )


@router.get("/counts", operation_id="count_letters")
def count_letters(
    buckstop: Client,
    meant: Filtered,
    by: Annotated[Facet, Query(description="What they share.")] = Facet.REASON,
) -> Counts:
    """Count open letters by kind, reason, agent or tenant: many of one reason are one cause."""
    counts = buckstop.letter_counts(by, meant)
    return Counts(by=by, counts=counts, total=sum(counts.values()))


@router.get("/{letter_id}", operation_id="get_letter", responses=problems("not-found"))
def get_letter(letter_id: Id, buckstop: Client, caller: Reads) -> LetterOut:
    """Return one letter, open or decided, with everything that is needed to decide."""
    letter = visible(buckstop, caller, letter_id)
    task = buckstop.store.task(letter["task"]) if letter["story"] is not None else None
    request = None if task is None else json.loads(task["request"])
    raw = (buckstop.store.letter(letter_id) or {}).get("bytes") if "bytes" in letter else None
    return shown_letters.whole(letter, request, raw)


@router.post(
    "/{letter_id}/decision",
    operation_id="decide_letter",
    openapi_extra=takes("Decision"),
    responses=problems("not-found", "decided-before", "nobody-acted"),
)
async def decide_letter(
    http: Request,
    letter_id: Id,
    buckstop: Client,
    caller: Decides,
    said: Annotated[Any, Depends(json_value)],
) -> DecidedOut:
    """Decide a letter. The first decision wins; a later one is told whose that was."""
    given = await anyio.to_thread.run_sync(decision, said, letter_id, caller.name)
    return await in_patience(http, lambda: _decided(buckstop, caller, given))


@router.post(
    "/{letter_id}/amendment",
    operation_id="check_amendment",
    openapi_extra=takes("Amendment"),
    responses=problems("not-found"),
)
def check_amendment(
    letter_id: Id,
    buckstop: Client,
    caller: Decides,
    given: Annotated[Amendment, json_body(Amendment)],
) -> Checked:
    """Look whether a result could be delivered instead; nothing is decided."""
    visible(buckstop, caller, letter_id)
    faults = buckstop.check_amendment(letter_id, given.result)
    errors = [Fault(at=at, detail=detail) for at, detail in faults]
    return Checked(ok=not errors, errors=errors)


@router.post(
    "/decisions",
    operation_id="decide_letters",
    openapi_extra=takes("Bulk"),
    responses=problems("nobody-acted"),
)
async def decide_letters(
    http: Request, buckstop: Client, caller: Decides, given: Annotated[Bulk, json_body(Bulk)]
) -> Preview | BulkDecided:
    """Decide every open letter that fits alike, or only say which ones these would be."""
    meant = given.filter.wanted(caller.only(given.filter.tenant))
    said = await anyio.to_thread.run_sync(decision, given.decision, _ANY, caller.name)
    act = _previewed if given.preview else _all_decided
    return await in_patience(http, lambda: act(buckstop, meant, said))


async def in_patience(http: Request, act: Callable[[], Done]) -> Done:
    """Do what waits for an orchestrator, in threads of its own: reading goes on meanwhile.

    Raise Problem where so many wait already that this one would come to nothing.
    """
    state = http.app.state
    if state.deciding >= limits.DECIDING_MAX + limits.DECIDING_WAIT_MAX:
        raise full("many decisions wait for an orchestrator; is one running? GET /readyz says so")
    state.deciding += 1
    try:
        return await anyio.to_thread.run_sync(act, limiter=state.patience)
    finally:
        state.deciding -= 1


def visible(buckstop: Buckstop, caller: Caller, letter_id: str) -> dict[str, Any]:
    """Return a letter that the caller may see, or raise NotFound."""
    found = buckstop.letter(letter_id)
    caller.require_tenant(found["tenant"], f"letter {letter_id!r}; GET /v1/letters lists them")
    return found


def decided_or_problem(done: DecidedLetter) -> DecidedOut:
    """Return what became of a letter, or raise Problem where somebody else was first."""
    if done.first:
        return DecidedOut(
            letter=done.letter, verb=done.verb, by=done.by, why=done.why, decided_ms=done.decided_ms
        )
    first = {"verb": done.verb, "by": done.by, "why": done.why, "decided_ms": done.decided_ms}
    raise Problem("decided-before", f"{done.by} was first: {done.verb}", first=first)


def _decided(buckstop: Buckstop, caller: Caller, given: Decision) -> DecidedOut:
    visible(buckstop, caller, given.letter)
    return decided_or_problem(buckstop.decide(given))


def _previewed(buckstop: Buckstop, meant: Wanted, given: Decision) -> Preview:
    seen = buckstop.preview(meant, given.verb)
    return Preview(
        letters=seen.letters,
        looked_at=seen.looked_at,
        refusing=seen.refusing,
        sample=list(map(shown_letters.short, seen.sample)),
    )


def _all_decided(buckstop: Buckstop, meant: Wanted, given: Decision) -> BulkDecided:
    done = buckstop.decide_all(meant, given)
    return BulkDecided(decided=done.decided, before=done.before, refused=dict(done.refused))
