"""Letters: what waits for a person, and what they decide."""

from typing import Annotated, Any

from fastapi import APIRouter, Query

from envelopes import limits
from orchestrator.client import Buckstop
from orchestrator.http.access import Caller, Client, Reads
from orchestrator.http.models import Page

router = APIRouter(prefix="/v1/letters", tags=["letters"])


@router.get("", operation_id="list_letters")
def list_letters(
    buckstop: Client,
    caller: Reads,
    limit: Annotated[int, Query(ge=1, le=limits.PAGE_MAX)] = limits.PAGE_DEFAULT,
) -> Page[dict[str, Any]]:
    """List open letters, newest first."""
    caller.require_all_tenants()
    found = buckstop.store.read_letters(buckstop.store.letters(0, limit))
    return Page(items=[{"kind": one["kind"].decode()} for one in found])


@router.get("/{letter_id}", operation_id="letter")
def letter(letter_id: str, buckstop: Client, caller: Reads) -> dict[str, Any]:
    """Return one letter."""
    return visible(buckstop, caller, letter_id)


def visible(buckstop: Buckstop, caller: Caller, letter_id: str) -> dict[str, Any]:
    """Return a letter that the caller may see, or raise NotFound."""
    found = buckstop.letter(letter_id)
    caller.require_tenant(found["tenant"], f"letter {letter_id!r}; list yours: GET /v1/letters")
    return found
