"""What must agree between the cells of a deployment, and whether it does.

    cells            each is a server of its own, and which of them take new tasks
    tokens           the same everywhere, or callers are turned away while home is away
    subscriptions    the same everywhere, or news of one cell are told to nobody
    caps             the same everywhere
    schemas          versions may differ while an upgrade lasts; then they must not
    keys             by which orders are known, in each cell by its own or in all by one

    findings = agree(cells, cells.states())

What is wrong within one cell is found there (orchestrator/doctor). A cell that is away is left out.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from redis.exceptions import NoPermissionError

from envelopes.counted import counted
from orchestrator.cells.cell import ask_all
from orchestrator.cells.facade import Cells
from orchestrator.cells.opened import Opened
from orchestrator.cells.state import CellState
from orchestrator.checks import Finding, Verdict
from orchestrator.courier.subscription import Subscription
from orchestrator.doctor.crew import spoken

_OF_ONE_CELL: Final = {"disabled_ms", "why", "failing_ms"}
"""What a subscription says of how one cell's courier fares."""


@dataclass(frozen=True, slots=True)
class Held:
    """What one cell has of what is compared."""

    server: str
    """Which server it is, and which database of it."""
    same: Mapping[str, Mapping[str, str]]
    """By check, what must be as it is at home: by its id, as it is kept."""
    schemas: tuple[int, ...]
    keys: frozenset[str]
    """Those that its workers know."""


def agree(cells: Cells, states: Sequence[CellState]) -> tuple[Finding, ...]:
    """Compare all cells that answer with home; `states` say how each is."""
    try:
        held = ask_all(cells.cells.values(), _look).said
    except NoPermissionError as error:
        why = f"a server does not let us compare ({error})"
        fix = "buckstop doctor with users that have more rights, such as admin"
        return (Finding("cells", Verdict.UNKNOWN, why, fix),)
    home = states[0].cell
    found = [*_cells(states, held), *_schemas(held), *_keys(held)]
    if home in held:
        return (*found, *_as_at_home(home, held, str(cells.file.path)))
    why = f"home, which is {home}, is away, so the others cannot be compared with it"
    return (*found, Finding("tokens", Verdict.UNKNOWN, why, f"start {home}, and look again"))


def _look(one: Opened) -> Held:
    db = one.client.connection_pool.connection_kwargs.get("db") or 0
    known = (key for worker in one.store.workers() for key in worker.get("keys", ()))
    return Held(
        server=f"{one.client.info('server')['run_id']}/{db}",
        same={
            "tokens": {token.id: token.kept() for token in one.tokens.list()},
            "subscriptions": {each.id: _written(each) for each in one.subscriptions.list()},
            "caps": {about: str(most) for about, most in one.store.caps().items()},
        },
        schemas=tuple(spoken(one.client, one.settings.keys)),
        keys=frozenset(known),
    )


def _written(subscription: Subscription) -> str:
    return subscription.model_dump_json(exclude=_OF_ONE_CELL)


def _cells(states: Sequence[CellState], held: Mapping[str, Held]) -> Iterator[Finding]:
    """See that no server is listed twice, and what can be taken off the list."""
    by_server: defaultdict[str, list[str]] = defaultdict(list)
    for name, has in held.items():
        by_server[has.server].append(name)
    for names in by_server.values():
        if len(names) > 1:
            found = f"{' and '.join(names)} are one server, so what it has is counted twice"
            fix = "give each cell a server of its own, or take one name off the file"
            yield Finding("cells", Verdict.FAULT, found, fix)
    for one in states:
        if one.done and not one.kept:
            found = f"{one.cell} is drained, and nothing in it is kept any more"
            yield Finding("cells", Verdict.NOTE, found, "take it off the file, and switch it off")
    taking = [one.cell for one in states if not one.draining]
    found = f"home is {states[0].cell}; new tasks go to {', '.join(taking)}"
    yield Finding("cells", Verdict.GOOD, found)


def _as_at_home(home: str, held: Mapping[str, Held], file: str) -> Iterator[Finding]:
    """Compare each cell with home."""
    for check, wanted in held[home].same.items():
        others = {name: one.same[check] for name, one in held.items() if name != home}
        wrong = {name: why for name, has in others.items() if (why := _differs(wanted, has))}
        for name, why in wrong.items():
            fix = f"buckstop cells align {name}"
            if set(others[name]) - set(wanted):  # which aligning takes away
                fix += f"; or, if {name} was home before, list it first in {file} again"
            yield Finding(check, Verdict.FAULT, f"{name} is not as home is: {why}", fix)
        if not wrong:
            number = counted(len(wanted), check.removesuffix("s"))
            found = f"{number}, the same in {', '.join(held)}"
            yield Finding(check, Verdict.GOOD, found)


def _differs(wanted: Mapping[str, str], has: Mapping[str, str]) -> str:
    """Say how a cell differs from home; nothing where it does not."""
    counts = {
        "missing": len(set(wanted) - set(has)),
        "unknown at home": len(set(has) - set(wanted)),
        "different": sum(has[each] != wanted[each] for each in set(wanted) & set(has)),
    }
    return ", ".join(f"{count:,} {what}" for what, count in counts.items() if count)


def _schemas(held: Mapping[str, Held]) -> Iterator[Finding]:
    spoken_in = {name: one.schemas for name, one in held.items() if one.schemas}
    told = "; ".join(f"{name}: {', '.join(map(str, all_))}" for name, all_ in spoken_in.items())
    if len(set(spoken_in.values())) > 1:
        found = f"cells speak different schema versions ({told}); that is meant to work while an "
        fix = "restart those that are behind, if no upgrade is under way"
        yield Finding("schemas", Verdict.NOTE, f"{found}upgrade lasts", fix)
    else:
        yield Finding("schemas", Verdict.GOOD, f"no cell differs ({told or 'none speaks'})")


def _keys(held: Mapping[str, Held]) -> Iterator[Finding]:
    """Find a key that workers of several cells know beside others that they do not share."""
    known = {name: one.keys for name, one in held.items() if one.keys}
    told = "; ".join(f"{name}: {', '.join(sorted(keys))}" for name, keys in known.items())
    some_shared = any(
        one & other and one != other for one in known.values() for other in known.values()
    )
    if some_shared:
        found = f"workers of several cells share some keys and not others ({told})"
        fix = "if no key is being changed: restart workers that have not the keys of their cell"
        yield Finding("keys", Verdict.NOTE, found, fix)
    elif len(set(known.values())) > 1:
        yield Finding("keys", Verdict.GOOD, f"each cell has keys of its own ({told})")
    else:
        yield Finding("keys", Verdict.GOOD, f"cells share them ({told or 'no worker lives'})")
