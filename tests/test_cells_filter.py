"""One cell of several, asked for by its name: in Python and through the API, on real servers."""

import asyncio
from typing import Any

import httpx
import pytest
from pydantic import BaseModel

from envelopes.decision import Decision, Verb
from envelopes.letter import Facet
from envelopes.strict import Refused
from orchestrator.cells.cell import CellAway
from orchestrator.client import Buckstop
from orchestrator.mcp.asking import Api, NotDone
from orchestrator.mcp.tools import TOOLS, Call
from orchestrator.settings import Settings
from orchestrator.wanted import TasksWanted, Wanted
from tests.conftest import Fresh
from tests.several import TASK, TENANTS, Several, orchestrated, served
from tests.test_cells_http import accepted, submitted
from tests.until import until

LATE = {**TASK, "timeout": 0.001, "at_cap": "escalate"}
EAST, WEST = Wanted(cell="east"), Wanted(cell="west")


def on_desk(several: Several) -> dict[str, str]:
    """Put a task of each cell on the desk; return them by cell."""
    with several.cells() as cells, orchestrated(several, *TENANTS):
        tasks = {cell: cells.submit(LATE, tenant=tenant) for cell, tenant in TENANTS.items()}
        for task in tasks.values():
            until("it is on the desk", lambda t=task: t.status().letter)
        return {cell: task.id for cell, task in tasks.items()}


def test_lists_counts_and_decisions_are_of_the_cell_that_is_named(several: Several) -> None:
    """The brief of the filter: whoever names a cell sees and decides what is there, and no more."""
    tasks = on_desk(several)
    abort = Decision(letter="any", verb=Verb.ABORT, by="ada")
    with several.cells() as cells:
        assert [one.id for one in cells.tasks(wanted=TasksWanted(cell="west")).items] == [
            tasks["west"]
        ]
        assert cells.store.count_tasks(TasksWanted(cell="west")) == 1
        assert [one["task"] for one in cells.letters(wanted=EAST).items] == [tasks["east"]]
        assert cells.letter_counts(Facet.REASON, EAST) == {"deadline": 1}
        assert cells.preview(WEST, Verb.ABORT).letters == 1
        with orchestrated(several, "west"):
            assert cells.decide_all(WEST, abort).decided == 1
        assert cells.store.count_letters(WEST) == 0
        assert cells.store.count_letters(EAST) == cells.store.count_letters() == 1
        with pytest.raises(Refused, match="there is no cell 'nord'; there are: east, west"):
            cells.decide_all(Wanted(cell="nord"), abort)
        several.servers["west"].kill()
        assert cells.letters(wanted=EAST).items
        with pytest.raises(CellAway, match="west"):
            cells.letters(wanted=WEST)


def test_the_api_takes_a_cell_as_a_filter(several: Several) -> None:
    """docs/how-to/cells.md: `?cell=west`, and `"cell"` in the filter of a decision about many."""
    tasks = on_desk(several)
    only = {"cell": "west"}
    with served(several) as caller:
        listed = caller.get("/v1/tasks", params=only).json()
        assert [one["id"] for one in listed["items"]] == [tasks["west"]]
        letters = caller.get("/v1/letters", params=only).json()
        assert ([one["cell"] for one in letters["items"]], letters["total"]) == (["west"], 1)
        assert caller.get("/v1/letters/counts", params=only).json()["total"] == 1
        bulk = {"filter": only, "decision": {"verb": "abort"}, "preview": True}
        assert caller.post("/v1/letters/decisions", json=bulk).json()["letters"] == 1
        wrong = caller.get("/v1/tasks", params={"cell": "nord"})
        assert (wrong.status_code, "there are: east, west" in wrong.text) == (422, True)
        several.servers["east"].kill()
        assert caller.get("/v1/letters", params=only).json()["missing"] == []
        away = caller.get("/v1/letters", params={"cell": "east"})
        assert (away.status_code, away.json()["cells"]) == (503, ["east"])


def test_live_events_are_of_the_cell_that_is_named(several: Several) -> None:
    """docs/how-to/cells.md: `/v1/events?cell=west` tells of what is there, and no more."""
    only = {"cell": "west", "kinds": "task.accepted", "for_s": 60}
    with served(several) as caller:
        with caller.stream("GET", "/v1/events", params=only) as answer:
            events = accepted(answer)
            for cell in ("east", "west"):
                submitted(caller, cell)
            place, told = next(events)
        assert (told["cell"], place.partition("=")[0]) == ("west", "west")
        missed = [submitted(caller, cell)["id"] for cell in ("east", "west")]
        with caller.stream("GET", "/v1/events", params={**only, "after": place}) as answer:
            assert next(accepted(answer))[1]["task"] == missed[1]
        wrong = caller.get("/v1/events", params={"cell": "nord"})
        assert (wrong.status_code, "there are: east, west" in wrong.text) == (422, True)


def test_mcp_and_a2a_take_a_cell_as_a_filter(several: Several) -> None:
    """Whoever asks in another protocol may name a cell too."""
    tasks = on_desk(several)
    with served(several) as caller:
        listed = ask(caller, "tasks", cell="west")["items"]
        assert [one["id"] for one in listed] == [tasks["west"]]
        assert [one["cell"] for one in ask(caller, "letters", cell="east")["items"]] == ["east"]
        with pytest.raises(NotDone, match="there are: east, west"):
            ask(caller, "tasks", cell="nord")
        speaks = {"A2A-Version": "1.0"}
        seen = caller.get("/a2a/tasks", params={"cell": "west"}, headers=speaks).json()
        assert ([one["id"] for one in seen["tasks"]], seen["totalSize"]) == ([tasks["west"]], 1)
        wrong = caller.get("/a2a/tasks", params={"cell": "nord"}, headers=speaks)
        assert (wrong.status_code, "there are: east, west" in wrong.text) == (400, True)


def ask(caller: httpx.Client, tool: str, **given: str) -> dict[str, Any]:
    """Call a tool at the API that this caller calls."""

    async def called() -> BaseModel:
        there = httpx.AsyncClient(base_url=caller.base_url, headers=caller.headers, timeout=60)
        async with there as client:
            return await TOOLS[tool].act(Call(Api(client), given, report))

    return asyncio.run(called()).model_dump()


async def report(done: float, said: str) -> None:
    """Tell nobody how far a tool is."""


def test_a_cell_that_is_named_where_there_is_one_server_is_refused(fresh: Fresh) -> None:
    """A decision about one cell's letters is never one about all: the name may be a mistake."""
    abort = Decision(letter="any", verb=Verb.ABORT, by="ada")
    with Buckstop(settings=Settings(fresh.url, "the test", fresh.keys.prefix)) as buckstop:
        for ask in (
            lambda: buckstop.tasks(wanted=TasksWanted(cell="west")),
            lambda: buckstop.store.count_tasks(TasksWanted(cell="west")),
            lambda: buckstop.letters(wanted=WEST),
            lambda: buckstop.letter_counts(Facet.KIND, WEST),
            lambda: buckstop.preview(WEST, Verb.ABORT),
            lambda: buckstop.decide_all(WEST, abort),
        ):
            with pytest.raises(Refused, match="one server is asked, and no cells such as 'west'"):
                ask()
