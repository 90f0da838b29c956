"""MCP and A2A in front of several cells: one door, as for all of the API."""

import asyncio
from typing import Any

import httpx
import pytest
from a2a.client.client import Client
from a2a.client.errors import A2AClientError
from a2a.types import GetTaskRequest, ListTasksRequest

from tests.editor import Place, editor, run, told
from tests.peer import BOUNDS, peer, plain, says, sent
from tests.several import TASK, TENANTS, Several, orchestrated, served, work


def door(several: Several, caller: httpx.Client) -> tuple[Place, str]:
    """Say where the API is, and by which token."""
    token = caller.headers["Authorization"].removeprefix("Bearer ")
    return Place(several.folder, str(caller.base_url).rstrip("/")), token


def test_clients_of_both_protocols_see_all_cells_through_one_door(several: Several) -> None:
    """docs/how-to/cells.md: a task lives in one cell; whoever asks need not know in which."""
    with served(several) as caller, orchestrated(several, "east", "west"):
        place, token = door(several, caller)

        async def act() -> tuple[Any, ...]:
            async with peer(place.api, token) as client, editor(place, "http", token) as mcp:
                ids = [await by_a2a(client, cell) for cell in ("east", "west")]
                assert await by_a2a(client, "west") == ids[1]
                made = await told(mcp, "submit", **{**TASK, "tenant": TENANTS["west"]})
                await asyncio.to_thread(work, several, "east")
                await asyncio.to_thread(work, several, "west", 2)
                ended = await told(mcp, "wait", task=made["task"])
                pages, page = [], ""
                while not pages or page:
                    wanted = ListTasksRequest(page_size=1, page_token=page)
                    answer = await client.list_tasks(wanted)
                    page = answer.next_page_token
                    pages += [each.id for each in answer.tasks]
                return [*ids, made["task"]], pages, ended, await told(mcp, "tasks")

        ids, pages, ended, listed = run(act)
    assert pages == ids[::-1]
    assert [each["id"] for each in listed["items"]] == pages
    assert (ended["state"], listed["missing"]) == ("completed", [])


async def by_a2a(client: Client, cell: str) -> str:
    """Send a message for a tenant of this cell."""
    said = {"agent": TASK["agent"], **BOUNDS, "tenant": TENANTS[cell]}
    task = await sent(client, says("x", said=said, message_id=f"for-{cell}", at_once=True))
    return str(task.id)


def test_a_list_that_would_lack_a_cell_says_so(several: Several) -> None:
    """Nobody takes a part of a list for the whole."""
    with served(several) as caller, orchestrated(several, "east"):
        place, token = door(several, caller)

        async def act() -> dict[str, Any]:
            async with peer(place.api, token) as client, editor(place, "http", token) as mcp:
                task = await by_a2a(client, "east")
                several.servers["west"].kill()
                with pytest.raises(A2AClientError, match="503"):
                    await client.list_tasks(ListTasksRequest())
                assert plain(await client.get_task(GetTaskRequest(id=task)))["id"] == task
                return await told(mcp, "tasks")

        assert run(act)["missing"] == ["west"]
