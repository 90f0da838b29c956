"""Cells for real: several servers, one of them killed, added or drained; and each key used once."""

import os
import signal
from concurrent.futures import ThreadPoolExecutor

import pytest

from envelopes import limits
from envelopes.decision import Decision, Verb
from orchestrator.answers import NotFound
from orchestrator.cells import ranking
from orchestrator.cells.cell import CellAway
from orchestrator.cells.facade import Cells
from orchestrator.cells.reservations import Reserved
from orchestrator.cells.where import noting
from orchestrator.courier.subscription import NewSubscription, SubscriptionKind
from orchestrator.purge import Purge
from orchestrator.tokens import Scope, id_of
from orchestrator.view import State
from orchestrator.wanted import ALL, TasksWanted
from tests.several import KEYS, TASK, Several, orchestrated, work
from tests.until import PATIENCE_S as WITHIN_S


def tenant_of(several: Several, cell: str, *more: str) -> str:
    """Return a tenant whose tasks go to this cell; with `more`, once these are there too."""
    with several.cells() as cells:
        known = [one.name for one in cells.file.cells]
    names = (f"tenant-{number}" for number in range(1000))
    first = (n for n in names if not more or ranking.highest(n, known) != cell)
    return next(n for n in first if ranking.highest(n, [*known, *more]) == cell)


def kept(several: Several, cell: str) -> int:
    with several.client(cell) as client:
        return client.zcard(KEYS.tasks)


def test_a_task_goes_to_the_cell_of_its_tenant_and_is_done_there(several: Several) -> None:
    """Promise: "A task lives in one cell (a Redis with its orchestrators and workers)"."""
    tenants = {cell: tenant_of(several, cell) for cell in ("east", "west")}
    with several.cells() as cells, orchestrated(several, "east", "west"):
        tasks = {cell: cells.submit(TASK, tenant=tenant) for cell, tenant in tenants.items()}
        for cell, task in tasks.items():
            work(several, cell)
            assert task.result(WITHIN_S).result == {"said": cell}
            assert task.status().cell == cell
            assert kept(several, cell) == 1


def test_what_is_asked_is_asked_of_all_cells(several: Several) -> None:
    """Promise: "The CLI, API and console read across cells"."""
    with several.cells() as cells:
        ids = [cells.submit(TASK, tenant=f"tenant-{number}").id for number in range(20)]
        assert {kept(several, "east"), kept(several, "west")} != {0, 20}
    with several.cells() as fresh:  # which has seen none of them yet
        listed = fresh.tasks(100).items
        assert {task.id for task in listed} == set(ids)
        order = [(task.accepted_ms, task.id) for task in listed]
        assert order == sorted(order, reverse=True)
        assert fresh.overview().open == 20
        assert fresh.task(ids[3][:10]).id == ids[3]
        assert fresh.tasks(wanted=TasksWanted(tenant="tenant-7")).items[0].id == ids[7]
        with pytest.raises(NotFound, match="no task 'none'"):
            fresh.task("none")


def test_a_key_is_one_task_though_a_cell_was_added(several: Several) -> None:
    """Promise: "must not become two tasks when a cell was added"."""
    moves = tenant_of(several, "north", "north")
    with several.cells() as before:
        first = before.submit(TASK, tenant=moves, idempotency_key="once")
    several.add("north", added=1)
    with several.cells() as after:
        again = after.submit(TASK, tenant=moves, idempotency_key="once")
        assert (again.id, again.created) == (first.id, False)
        assert after.submit(TASK, tenant=moves, idempotency_key="new").status().cell == "north"
        known = after.submit(TASK, tenant=moves, idempotency_key="new")
        assert (known.created, known.status().cell) == (False, "north")
    assert sum(kept(several, cell) for cell in ("east", "west", "north")) == 2


def test_an_old_list_and_a_new_one_at_the_same_moment_make_one_task(several: Several) -> None:
    """Clients get a new list one after the other; a key stands for one task all the same.

    Who has the old list and asks for what is in the new cell already is told that its list is old.
    """
    moves = tenant_of(several, "north", "north")
    old = several.cells()
    several.add("north", added=1)
    with old, several.cells() as new, ThreadPoolExecutor(8) as threads:
        for number in range(10):
            clients = [old, new] * 4
            said = list(threads.map(lambda one, n=number: _once(one, moves, f"key-{n}"), clients))
            assert len({task for task in said if task}) == 1
            assert all(said[1::2]), "whoever has the new list finds the task wherever it is"
    assert sum(kept(several, cell) for cell in ("east", "west", "north")) == 10


def _once(cells: Cells, tenant: str, key: str) -> str | None:
    try:
        return cells.submit(TASK, tenant=tenant, idempotency_key=key).id
    except CellAway as away:
        return None if away.why.endswith("is that an old one?") else away.why


def test_who_dies_between_reserving_and_submitting_is_finished_by_the_next(
    several: Several,
) -> None:
    """A reserved key is a task's id: whoever comes next submits it, in the reserved cell."""
    moves = tenant_of(several, "north", "north")
    several.add("north", added=1)
    with several.cells() as cells:
        way = ranking.way(moves, cells.file.cells)
        oldest = cells.cells[way[0]]
        wish = Reserved("reserved-before", "north")
        oldest.ask(lambda one: one.reservations.make(moves, "once", wish, 60_000, oldest.name))
        task = cells.submit(TASK, tenant=moves, idempotency_key="once")
        assert (task.id, task.status().cell) == ("reserved-before", "north")
    several.list("north", added=0)  # the change is forgotten, and the key goes the plain way
    with several.cells() as later:
        assert not later.submit(TASK, tenant=moves, idempotency_key="once").created


def test_a_key_whose_task_was_purged_is_free_to_whoever_knew_where_it_was(
    several: Several,
) -> None:
    """Promise of a purge: "A task goes with ... its idempotency key"; no key names what is gone."""
    moves = tenant_of(several, "north", "north")
    several.add("north", added=1)
    with several.cells() as cells, orchestrated(several, "north"):
        old = cells.submit(TASK, tenant=moves, idempotency_key="once")
        assert old.status().cell == "north"
        work(several, "north")
        assert old.result(WITHIN_S).outcome is State.COMPLETED
        with several.client("north") as client:
            assert Purge(client, KEYS).run([old.id]).tasks == 1
        again = cells.submit(TASK, tenant=moves, idempotency_key="once")
        assert (again.created, again.status().state) == (True, State.SUBMITTED)


def test_a_cell_that_drains_takes_nothing_new_and_is_read(several: Several) -> None:
    """Promise: "Draining a cell (no new tasks, reads go on, until empty, then remove)"."""
    tenant = tenant_of(several, "west")
    with several.cells() as cells:
        old = cells.submit(TASK, tenant=tenant, idempotency_key="once")
    several.list("west", draining=True)
    with several.cells() as cells, orchestrated(several, "west"):
        assert cells.submit(TASK, tenant=tenant).status().cell == "east"
        assert cells.submit(TASK, tenant=tenant, idempotency_key="once").id == old.id
        moved = cells.submit(TASK, tenant=tenant, idempotency_key="meanwhile")
        assert moved.status().cell == "east"
        work(several, "west")
        assert cells.task(old.id).result(WITHIN_S).outcome is State.COMPLETED
    several.list("west")
    with several.cells() as back:
        known = back.submit(TASK, tenant=tenant, idempotency_key="meanwhile")
        assert (known.id, known.created) == (moved.id, False)


def test_one_cell_killed_leaves_the_others_as_they_were(several: Several) -> None:
    """Promise: "submits for its tenants get 503 with which cell, others unaffected"."""
    east, west = tenant_of(several, "east"), tenant_of(several, "west")
    with several.cells() as cells, orchestrated(several, "east"):
        lost = cells.submit(TASK, tenant=west)
        several.servers["west"].kill()
        with pytest.raises(CellAway, match="cell 'west' is away"):
            cells.submit(TASK, tenant=west)
        task = cells.submit(TASK, tenant=east, idempotency_key="key")
        work(several, "east")
        assert task.result(WITHIN_S).outcome is State.COMPLETED
        with noting() as missing:
            assert [one.id for one in cells.tasks().items] == [task.id]
        assert missing == {"west"}
        with pytest.raises(CellAway, match="west"):
            cells.task("unknown")
        with pytest.raises(CellAway, match="west"):
            lost.status()
        several.servers["west"].restart()
        assert next(lost.watch(WITHIN_S)).id == lost.id


def test_letters_are_decided_where_they_are_and_in_all_cells_at_once(several: Several) -> None:
    """Promise: "decisions routed to the cell of the letter, bulk decisions over cells"."""
    late = {**TASK, "timeout": 0.001, "at_cap": "escalate"}
    with several.cells() as cells, orchestrated(several, "east", "west"):
        names = [tenant_of(several, cell) for cell in ("east", "west")] * 2
        tasks = [cells.submit(late, tenant=name) for name in names]
        for task in tasks:
            while task.status().letter is None:
                task.status()
        open_letters = cells.letters().items
        assert {letter["cell"] for letter in open_letters} == {"east", "west"}
        one = Decision(letter=open_letters[0]["id"], verb=Verb.ABORT, by="ada")
        assert cells.decide(one).first
        rest = Decision(letter="any", verb=Verb.ABORT, by="ada")
        assert cells.letter_counts("reason") == {"deadline": 3}
        assert cells.decide_all(ALL, rest).decided == 3
        assert cells.letters().items == []


def test_a_cell_that_hangs_holds_up_nobody_else(
    several: Several, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Promise: "others unaffected", also by one that takes a question and never answers."""
    monkeypatch.setattr(limits, "CELL_ASK_S", 2)
    east, west = tenant_of(several, "east"), tenant_of(several, "west")
    with several.cells() as cells:
        cells.submit(TASK, tenant=west)
        hung = several.servers["west"].pid
        os.kill(hung, signal.SIGSTOP)
        try:
            task = cells.submit(TASK, tenant=east)
            with noting() as missing:
                assert [one.id for one in cells.tasks().items] == [task.id]
            assert missing == {"west"}
            with pytest.raises(CellAway, match="'west' is away: no answer within"):
                cells.submit(TASK, tenant=west)
        finally:
            os.kill(hung, signal.SIGCONT)


def test_tasks_of_a_tenant_that_is_spread_go_to_all_cells(several: Several) -> None:
    """Promise: "`spread` ... to spread one big tenant's tasks by idempotency key/task id"."""
    several.spread = ["big"]
    several.list("west")
    with several.cells() as cells:
        assert cells.target_of("big") is None
        used = [str(number) for number in range(16)]
        first = [cells.submit(TASK, tenant="big", idempotency_key=key).id for key in used]
        again = [cells.submit(TASK, tenant="big", idempotency_key=key).id for key in used]
        assert first == again
        for _ in range(16):
            cells.submit(TASK, tenant="big")
    assert min(kept(several, "east"), kept(several, "west")) > 5


def test_a_new_cell_is_made_as_home_is(several: Several) -> None:
    """The page: "copies tokens, subscriptions and caps from home"."""
    hook = NewSubscription(
        kind=SubscriptionKind.WEBHOOK, url="http://127.0.0.1:9/x", allow_private=True
    )
    with several.cells() as cells:
        text = cells.tokens.new("ada", [Scope.READ])
        gone = cells.tokens.new("bob", [Scope.READ])
        made = cells.subscriptions.add(hook)
        cells.store.set_cap("tenant", "acme", 7)
    several.add("north", added=1)
    with several.cells() as cells:
        assert cells.tokens.revoke(id_of(gone))
        assert cells.align("north") == {"tokens": 1, "subscriptions": 1, "caps": 1}
        north = cells.cells["north"]
        assert north.ask(lambda one: one.tokens.find(id_of(text))) == cells.tokens.find(id_of(text))
        assert north.ask(lambda one: one.subscriptions.list()) == [made]
        assert north.ask(lambda one: one.store.caps()) == {"tenant:acme": 7}
        cells.subscriptions.remove(made.id)
        assert north.ask(lambda one: one.subscriptions.list()) == []
        with pytest.raises(NotFound):
            cells.subscriptions.remove(made.id)


def test_what_is_changed_while_a_cell_is_away_is_not_changed_there_unnoticed(
    several: Several,
) -> None:
    """The page: a token is made and the cell named; one that is revoked is refused by its name."""
    with several.cells() as cells:
        old = cells.tokens.new("ada", [Scope.READ])
        several.servers["west"].kill()
        with noting() as missing:
            assert cells.tokens.find(id_of(cells.tokens.new("bob", [Scope.READ])))
        assert missing == {"west"}
        with pytest.raises(CellAway, match="it is revoked in east, and not there; say it again"):
            cells.tokens.revoke(id_of(old))
        with pytest.raises(CellAway, match="the cap is set in east"):
            cells.store.set_cap("tenant", "acme", 7)
        several.servers["west"].restart()
        cells.cells["west"].note_back()
        assert cells.tokens.revoke(id_of(old))
        cells.align("west")
        west = cells.cells["west"].ask(lambda one: [token.name for token in one.tokens.list()])
        assert west == ["bob"]
