"""Tasks and letters are found by what they are, page by page, and forgotten when they are over.

Both stores; what stands in the indexes of the real one is in test_scripts.py.
"""

from random import Random
from typing import Any

import pytest

from envelopes import limits
from envelopes.letter import LetterKind
from orchestrator.store import LetterClosed, LetterFiled
from orchestrator.wanted import ALL_TASKS, Place, Stage, TasksWanted, Wanted
from tests.worlds import (
    KINDS,
    World,
    commit,
    fetch_one,
    make,
    message,
    on_desk,
    outgoing,
    refuses,
    submission,
)

TENANTS = ("acme", "default")


@pytest.fixture(params=KINDS)
def world(request: pytest.FixtureRequest) -> World:
    return make(request)


def found(world: World, wanted: TasksWanted = ALL_TASKS, **more: Any) -> list[str]:
    return [place.id for place in world.store.find_tasks(wanted, **more)]


def letter(task_id: str, **more: Any) -> LetterFiled:
    about = {"reason": "hop_cap", "agent": "a"} | more
    return LetterFiled(f"{task_id}.1", "escalation", "why", 4_000_000_000_000, b"{}", **about)


def escalate(world: World, task_id: str, version: int = 1) -> None:
    filed = commit(version, f"file-{task_id}", task_id, letter=letter(task_id))
    assert world.store.commit([filed]) == [True]


def end(world: World, task_id: str, outcome: str, version: int = 1) -> None:
    assert world.store.commit([commit(version, "end", task_id, outcome=outcome)]) == [True]


# --- tasks by stage and tenant -------------------------------------------------------------------


def test_a_task_is_found_at_its_stage_and_at_no_other(world: World) -> None:
    """docs/HTTP.md: "by stage (open, on_desk, completed, partial, aborted) and tenant"."""
    world.store.submit(submission("t1"))
    assert stage_of(world, "t1") == [Stage.OPEN]
    escalate(world, "t1")
    assert stage_of(world, "t1") == [Stage.ON_DESK]
    closed = LetterClosed("t1.1", "retry", "ann", "")
    world.store.commit([commit(2, "back", letter_closed=closed)])
    assert stage_of(world, "t1") == [Stage.OPEN]
    end(world, "t1", "partial", version=3)
    assert stage_of(world, "t1") == [Stage.PARTIAL]


def stage_of(world: World, task_id: str) -> list[Stage]:
    """Name every stage at which a task is found, with and without its tenant."""
    wide = [stage for stage in Stage if task_id in found(world, TasksWanted(stage))]
    narrow = [stage for stage in Stage if task_id in found(world, TasksWanted(stage, "default"))]
    assert wide == narrow
    assert [world.store.count_tasks(TasksWanted(stage)) for stage in wide] == [1]
    return wide


def test_a_task_on_the_desk_can_end_there(world: World) -> None:
    """A caller may cancel what waits for a person."""
    world.store.submit(submission("t1"))
    escalate(world, "t1")
    end(world, "t1", "aborted", version=2)
    assert stage_of(world, "t1") == [Stage.ABORTED]


def test_a_task_that_waits_for_a_place_is_open(world: World) -> None:
    world.store.set_cap("tenant", "default", 0)
    world.store.submit(submission("t1"))
    assert stage_of(world, "t1") == [Stage.OPEN]
    end(world, "t1", "aborted")
    assert stage_of(world, "t1") == [Stage.ABORTED]


def mixed(world: World) -> dict[str, tuple[str, str]]:
    """Accept forty tasks, several in the same millisecond; return stage and tenant of each."""
    random, about = Random(3), dict[str, tuple[str, str]]()
    for number in range(40):
        task_id, tenant = f"t{random.randrange(10**6)}", random.choice(TENANTS)
        world.store.submit(submission(task_id, tenant=tenant))
        match stage := random.choice(list(Stage)):
            case Stage.OPEN:
                pass
            case Stage.ON_DESK:
                escalate(world, task_id)
            case _:
                end(world, task_id, stage)
        about[task_id] = (stage, tenant)
        world.pass_time(5 * (number % 4 == 0))
    return about


@pytest.mark.parametrize("tenant", [None, "acme", "nobody"])
@pytest.mark.parametrize("stage", [None, Stage.OPEN, Stage.ON_DESK, Stage.ABORTED])
def test_tasks_are_found_by_stage_and_tenant_in_pieces_of_any_size(
    world: World, stage: Stage | None, tenant: str | None
) -> None:
    """The issue: "list with cursors"; none is left out or shown twice, also among equals."""
    about, wanted = mixed(world), TasksWanted(stage, tenant)
    fit = {
        task_id
        for task_id, (at, whose) in about.items()
        if stage in {None, at} and tenant in {None, whose}
    }
    whole = found(world, wanted, count=100)
    assert sorted(whole) == sorted(fit)
    assert world.store.count_tasks(wanted) == len(fit)
    accepted = [int((world.store.task(each) or {})["accepted_ms"]) for each in whole]
    order = list(zip(accepted, whole, strict=True))
    assert order == sorted(order, reverse=True)
    for size in (1, 3, 100):
        assert in_pieces(world, wanted, size) == whole


def in_pieces(world: World, wanted: TasksWanted, size: int) -> list[str]:
    pieces, before = list[Place](), None
    while piece := world.store.find_tasks(wanted, size, before):
        assert len(piece) <= size
        pieces, before = pieces + piece, piece[-1]
    return [each.id for each in pieces]


def test_a_list_goes_on_though_the_last_one_shown_is_gone(world: World) -> None:
    """docs/HTTP.md: "stable while things come and go": an offset would skip one."""
    for name in "abcdef":
        world.store.submit(submission(name))
        world.pass_time(10)
    first = world.store.find_tasks(TasksWanted(Stage.OPEN), 2)
    assert [place.id for place in first] == ["f", "e"]
    end(world, "e", "aborted")
    world.store.submit(submission("new"))
    rest = found(world, TasksWanted(Stage.OPEN), before=first[-1])
    assert rest == ["d", "c", "b", "a"]


def test_a_place_that_no_task_ever_had_is_a_place(world: World) -> None:
    """A cursor may be older than every record."""
    world.store.submit(submission("t1"))
    [place] = world.store.find_tasks()
    assert found(world, before=Place(place.ms + 1, "x")) == ["t1"]
    assert found(world, before=Place(place.ms, "t2")) == ["t1"]
    assert found(world, before=Place(place.ms, "t1")) == []
    assert found(world, before=Place(place.ms, "t")) == []
    assert found(world, before=Place(0, "")) == []


@pytest.mark.parametrize("names", [["t.1", "t1", "ta", "tA", "t"], ["a", "ab", "a.b", "B"]])
def test_equals_stand_by_their_bytes_and_by_no_language(world: World, names: list[str]) -> None:
    """Servers compare in the order of their own language, where dots and case may count less."""
    for name in names:
        world.store.submit(submission(name))
    whole = found(world)
    for size in (1, 2):
        assert in_pieces(world, ALL_TASKS, size) == whole


def test_no_figure_is_no_place(world: World) -> None:
    refuses(world, lambda: world.store.find_tasks(count=-1))
    refuses(world, lambda: world.store.find_letters(count=-1))


# --- forgotten -----------------------------------------------------------------------------------


def test_what_has_expired_is_found_no_more(world: World) -> None:
    """docs/HTTP.md: "tasks are pruned"."""
    world.store.submit(submission("old"))
    world.store.submit(submission("new"))
    world.store.commit([commit(1, "end", "old", outcome="aborted", retention_ms=20)])
    world.expire(30)
    world.store.prune_tasks()
    assert found(world) == ["new"]
    assert world.store.count_tasks() == 1
    assert world.store.count_tasks(TasksWanted(Stage.ABORTED)) == 0


# --- letters go on from a place, too -------------------------------------------------------------


def test_letters_of_one_moment_are_listed_in_pieces(world: World) -> None:
    """A burst files many letters in one millisecond; a page ends anywhere among them."""
    for name in ("a", "b", "c", "d", "e"):
        world.store.submit(submission(name))
    world.store.commit([commit(1, f"file-{n}", n, letter=letter(n)) for n in "abcde"])
    for wanted in (Wanted(), Wanted("escalation", "hop_cap", "a")):
        whole, pieces, before = on_desk(world.store, wanted), list[Place](), None
        assert len(whole) == 5
        while piece := world.store.find_letters(wanted, 2, before):
            pieces, before = pieces + piece, piece[-1]
        assert [each.id for each in pieces] == whole


def test_a_letter_decided_between_two_pages_hides_no_other(world: World) -> None:
    """Two people at one desk: what one decides must not push letters past the other."""
    for name in "abcd":
        world.store.submit(submission(name))
        escalate(world, name)
        world.pass_time(10)
    first = world.store.find_letters(count=2)
    closed = LetterClosed("d.1", "abort", "bob", "")
    world.store.commit([commit(2, "close", "d", letter_closed=closed)])
    rest = world.store.find_letters(before=first[-1])
    assert [each.id for each in rest] == ["b.1", "a.1"]


# --- at one look ---------------------------------------------------------------------------------


def test_an_empty_server_has_nothing_to_look_at(world: World) -> None:
    seen = world.store.overview()
    assert seen.as_json() == {
        "open": 0,
        "on_desk": 0,
        "completed": 0,
        "partial": 0,
        "aborted": 0,
        "letters": 0,
        "letters_by_kind": {},
        "waiting": 0,
        "agents": 0,
        "workers": 0,
    }


def test_everything_is_counted_at_one_look(world: World) -> None:
    """docs/HTTP.md: "workers at one look"."""
    world.worker("w").register({"a": {}, "idle": {}})
    for task_id in ("t1", "t2", "t3", "t4"):
        world.store.submit(submission(task_id))
    world.store.commit([commit(1, "go", publish=(outgoing(world, 1), outgoing(world, 2)))])
    fetch_one(world)
    lane = world.keys.queue("b", "acme")
    other = outgoing(world, 1, agent="b", queue=lane, message=message("t4", 1))
    world.store.commit([commit(1, "go", "t4", publish=(other,))])
    escalate(world, "t2")
    end(world, "t3", "completed")
    world.worker("w").quarantine("shape", "undeliverable", world.keys.queue("a"), b"x", "", None)
    world.worker("silent").beat([], "{}")
    world.pass_time(limits.WORKER_TTL_MS)
    world.worker("w").beat([], "{}")
    seen = world.store.overview()
    assert (seen.open, seen.on_desk, seen.letters) == (2, 1, 2)
    assert (seen.completed, seen.partial, seen.aborted) == (1, 0, 0)
    assert seen.letters_by_kind == {LetterKind.ESCALATION: 1, LetterKind.UNDELIVERABLE: 1}
    assert (seen.waiting, seen.agents, seen.workers) == (2, 3, 1)
