"""To which cell a task goes, and how lists of several cells become one: for any of them."""

from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from envelopes.strict import Refused
from orchestrator.caps import AgentSeen, BreakerSeen
from orchestrator.cells import merge, places, ranking
from orchestrator.cells.file import CellsFile, CellsFileError, Listed, NobodyHome
from orchestrator.running import Running
from orchestrator.wanted import Place

NAMES = st.lists(
    st.text("abcdefghij-0123456789", min_size=1, max_size=8).filter(lambda name: name[0] != "-"),
    min_size=1,
    max_size=12,
    unique=True,
)
KEYS = st.text(max_size=20)


def listed(name: str, *, added: int = 0, draining: bool = False) -> Listed:
    return Listed(name, "redis://x", None, draining, added)


# --- choosing ------------------------------------------------------------------------------------


@given(NAMES, st.text("xyz", min_size=1, max_size=3), st.lists(KEYS, max_size=20))
def test_a_cell_that_is_added_takes_only_its_own(
    cells: list[str], new: str, keys: list[str]
) -> None:
    """Promise: "Stable; adding a cell moves only its share"."""
    for key in keys:
        before, after = ranking.highest(key, cells), ranking.highest(key, [*cells, new])
        assert after in {before, new}
        assert ranking.highest(key, reversed([*cells, new])) == after


def test_keys_are_spread_evenly() -> None:
    """Of n cells each has an n-th, and one that is added takes its share from all alike."""
    keys = [f"tenant-{number}" for number in range(20_000)]
    cells = [f"cell-{number}" for number in range(10)]
    before = {key: ranking.highest(key, cells) for key in keys}
    assert all(1_800 < count < 2_200 for count in Counter(before.values()).values())
    moved = Counter(before[key] for key in keys if ranking.highest(key, [*cells, "new"]) == "new")
    assert 1_600 < moved.total() < 2_050
    assert all(120 < count < 250 for count in moved.values())


def test_where_a_key_goes_is_the_same_for_ever() -> None:
    """Whoever runs another version, on another machine, chooses alike."""
    assert ranking.score("acme", "east") == 2279870774561369245


@given(NAMES, KEYS, st.data())
def test_whatever_the_list_was_its_choice_is_on_the_way(
    names: list[str], key: str, data: st.DataObject
) -> None:
    """A key finds its task: each cell that an earlier list would have chosen is asked."""
    cells = [listed(name, added=data.draw(st.integers(0, 3))) for name in names]
    cells = [replace(c, added=0) if n == 0 else c for n, c in enumerate(cells)]
    drains = data.draw(st.sets(st.sampled_from(names), max_size=len(names) - 1))
    now = [replace(one, draining=one.name in drains) for one in cells]
    way = ranking.way(key, now)
    assert len(set(way)) == len(way)
    assert ranking.target(key, now) in set(way) - drains
    for change in range(4):
        then = [one for one in cells if one.added <= change]
        assert ranking.target(key, then) in way
        assert ranking.way(key, then)[0] == way[0], "all lists agree on where a key is reserved"


@given(NAMES, KEYS)
def test_where_nothing_has_changed_only_one_cell_is_asked(names: list[str], key: str) -> None:
    """Promise: "One cell = exactly as today": keys cost more only while a change is remembered."""
    assert len(ranking.way(key, [listed(name) for name in names])) == 1


# --- lists ---------------------------------------------------------------------------------------

LISTS = st.lists(
    st.lists(st.builds(Place, st.integers(0, 30), st.text("abc", min_size=1, max_size=4))),
    min_size=1,
    max_size=4,
)


@given(LISTS, st.integers(1, 7), st.data())
def test_pages_of_several_cells_leave_nothing_out_and_repeat_nothing(
    lists: list[list[Place]], count: int, data: st.DataObject
) -> None:
    """Promise: "merged paging (no gap, no repeat)", also while newer ones come between."""
    everything = {(at.ms, at.id) for some in lists for at in some}
    held = [{at for at in everything if hash_of(at) % len(lists) == n} for n in range(len(lists))]
    before: Place | None = None
    seen: list[tuple[int, str]] = []
    while page := merge.newest([_asked(cell, before, count) for cell in held], count):
        seen += [(at.ms, at.id) for at in page]
        before = page[-1]
        held[data.draw(st.integers(0, len(held) - 1))].add((31 + len(seen), "new"))
    assert [at for at in seen if at in everything] == sorted(everything, key=order, reverse=True)
    assert len(seen) == len(set(seen))


def hash_of(at: tuple[int, str]) -> int:
    return at[0] + len(at[1])


def order(at: tuple[int, str]) -> tuple[int, bytes]:
    return at[0], at[1].encode()


def _asked(cell: set[tuple[int, str]], before: Place | None, count: int) -> list[Place]:
    """Answer as one cell does: what stands behind a place, whoever gave it."""
    behind = [at for at in cell if before is None or order(at) < (before.ms, before.id.encode())]
    return [Place(*at) for at in sorted(behind, key=order, reverse=True)[:count]]


def test_one_agent_of_two_cells_is_shown_with_its_trouble() -> None:
    """Bounds and messages are added; a breaker that is open in one cell is not hidden."""
    broken = AgentSeen({"skills": ["a"]}, 3, 8, BreakerSeen(True, 77))
    fine = AgentSeen({"skills": ["a"]}, 4, 8)
    joined = merge.agents([{"greet": fine}, {"greet": broken, "other": fine}])
    assert joined["greet"] == AgentSeen({"skills": ["a"]}, 7, 16, BreakerSeen(True, 77))
    assert joined["other"] == fine
    assert merge.agents([{"a": fine}, {"a": replace(fine, cap=None)}])["a"].cap is None


# --- places in the news --------------------------------------------------------------------------


def test_a_place_in_all_news_is_one_in_each() -> None:
    """A cell that came later is told from its beginning, one that was away from when it is back."""
    text = places.written({"west": "2-0", "east": "1-5"})
    assert text == "east=1-5,west=2-0"
    assert places.read(text, ["east", "west", "new"]) == {
        "east": "1-5",
        "west": "2-0",
        "new": "0-0",
    }
    assert places.read("east=?", ["east"]) == {"east": "?"}
    assert places.is_behind({"east": "1-5"}, "east", "1-6")
    assert not places.is_behind({"east": "1-5"}, "east", "1-5")
    for wrong in ("1-0", "east=1-x", "east=", "east=1-0,", "east=1-0-0"):
        with pytest.raises(Refused, match="after"):
            places.read(wrong, ["east"])


# --- the file ------------------------------------------------------------------------------------

URL = "redis://east.example:6379/0"


def written(folder: Path, said: Any) -> Path:
    path = folder / "cells.yaml"
    path.write_text(said if isinstance(said, str) else yaml.safe_dump(said, sort_keys=False))
    return path


def test_a_file_says_where_cells_are_and_keeps_no_password(tmp_path: Path) -> None:
    """Promise: "`BUCKSTOP_CELLS`: YAML, name → url, password_file, draining"."""
    (tmp_path / "secret").write_text("hidden\n")
    file = CellsFile.read(
        written(
            tmp_path,
            {
                "cells": {
                    "west": {"url": URL, "password_file": "secret", "added": 2},
                    "old": {"directory": "there", "draining": True},
                },
                "spread": ["acme"],
            },
        )
    )
    west, old = file.cells
    assert west.where() == "redis://:hidden@east.example:6379/0"
    assert (west.added, west.draining, old.draining, file.spread) == (2, False, True, {"acme"})
    with pytest.raises(NobodyHome, match="buckstop up"):
        old.where()
    (tmp_path / "there/.buckstop").mkdir(parents=True)
    Running("redis://here", "now").write(tmp_path / "there/.buckstop")
    assert old.where() == "redis://here"
    with pytest.raises(CellsFileError, match="no cell 'nord'; it has: west, old"):
        file.find("nord")


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ("cells: [", "cells.yaml"),
        ({}, "cells: "),
        ({"cells": {}}, "cells"),
        ({"cells": {"A": {"url": URL}}}, "cells.A"),
        ({"cells": {"a": {}}}, "cells.a.url: say either the url of a Redis, or the directory"),
        ({"cells": {"a": {"url": URL, "directory": "x"}}}, "cells.a.url"),
        ({"cells": {"a": {"url": "http://x"}}}, "cells.a.url"),
        ({"cells": {"a": {"url": URL, "draining": True}}}, "every cell is draining"),
        ({"cells": {"a": {"url": URL, "password_file": "none"}}}, "password_file cannot be read"),
        ({"cells": {"a": {"url": URL, "colour": "red"}}}, "colour"),
        (f"cells:\n  a: {{url: '{URL}'}}\n  a: {{url: '{URL}'}}", "'a' stands twice; line 3"),
        ({"cells": {"a": {"url": "redis://one:port"}}}, "cells.a.url: a server is named so"),
        ({"cells": {"a": {"url": "redis+sentinel://one"}}}, "cells.a.url: Sentinels are named so"),
    ],
)
def test_a_file_that_cannot_be_meant_is_refused_by_its_field(
    tmp_path: Path, said: Any, why: str
) -> None:
    """Every message a person reads says what is wrong, and where."""
    with pytest.raises(CellsFileError) as refused:
        CellsFile.read(written(tmp_path, said))
    assert why in str(refused.value)


@pytest.mark.parametrize(
    "said",
    [
        'cells:\n  a: {url: "redis://:hunter2@one", added: 1\n  b: {url: "redis://:hunter2@two"}\n',
        {"cells": {"a": {"url": "redis://:hunter2/@one"}}},
        {"cells": {"a": {"url": "hunter2@one"}}},
    ],
)
def test_what_is_wrong_in_a_file_is_told_without_its_passwords(tmp_path: Path, said: Any) -> None:
    """A URL of the file may have a password; what cannot be read is told by its line, or field."""
    with pytest.raises(CellsFileError) as refused:
        CellsFile.read(written(tmp_path, said))
    assert "hunter2" not in str(refused.value)
    assert "line 3" in str(refused.value) or "cells.a.url" in str(refused.value)
