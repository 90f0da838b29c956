"""Commands over several cells, on real servers: what each does, also where one is away."""

import json
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from envelopes import limits
from orchestrator import cli
from orchestrator.answers import NotFound
from orchestrator.cells.facade import Cells
from orchestrator.cells.where import noting
from orchestrator.courier.subscription import NewSubscription, SubscriptionKind
from orchestrator.tokens import Credential, Scope
from tests.several import KEYS, TASK, TENANTS, Several, orchestrated, served, work
from tests.typed import Said, ending
from tests.until import PATIENCE_S, until

Run = Callable[[str], Said]


@pytest.fixture
def run(
    several: Several,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Run:
    """Run a command as its main does, where the environment names all cells."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BUCKSTOP_CELLS", str(several.path))
    monkeypatch.setenv("COLUMNS", "200")

    def run(line: str) -> Said:
        monkeypatch.setenv("BUCKSTOP_CELL", "")
        monkeypatch.setattr(sys, "argv", line.split())
        with ending() as ended:
            cli.main()
        said = capsys.readouterr()
        return Said(int(ended.value.code or 0), said.out, said.err)

    return run


def ended(several: Several, cells: Cells, cell: str, **more: Any) -> str:
    """Let a task of a cell end."""
    task = cells.submit(TASK, tenant=TENANTS[cell], **more)
    work(several, cell)
    task.result(PATIENCE_S)
    return task.id


# --- doctor, check -------------------------------------------------------------------------------


def test_the_doctor_looks_at_each_cell_and_at_what_must_agree(several: Several, run: Run) -> None:
    """Promise: "`buckstop doctor` checks a deployment", of several cells each, and between them."""
    with orchestrated(several, "east", "west"):
        said = run("buckstop doctor --json").json
    of = [(one["cell"], one["check"], one["verdict"]) for one in said["findings"]]
    for cell in ("east", "west"):
        assert (cell, "orchestrators", "good") in of
        assert (cell, "workers", "fault") in of, "nobody works there"
    between = [(check, verdict) for cell, check, verdict in of if cell is None]
    assert between == [
        ("cells", "good"),
        ("schemas", "good"),
        ("keys", "good"),
        ("tokens", "good"),
        ("subscriptions", "good"),
        ("caps", "good"),
    ]
    told = run("buckstop doctor")
    assert told.code == 1
    assert told.out.count("(from cell ") == 2
    assert "between cells\n  good     cells: home is east; new tasks go to east, west" in told.out
    assert "not fit: " in told.out.splitlines()[-1]


def test_the_doctor_finds_what_a_cell_has_otherwise_than_home(several: Several, run: Run) -> None:
    """docs/how-to/cells.md: tokens, subscriptions and caps are as home has them, or it says so."""
    hook = NewSubscription(
        kind=SubscriptionKind.WEBHOOK, url="http://127.0.0.1:9/x", allow_private=True
    )
    with several.cells() as cells:
        cells.tokens.new("ada", [Scope.READ])
        west = cells.cells["west"]
        west.ask(lambda one: one.tokens.new("bob", [Scope.READ]))
        cells.cells["east"].ask(lambda one: one.subscriptions.add(hook))
        cells.store.set_cap("tenant", "acme", 7)
        west.ask(lambda one: one.store.set_cap("tenant", "acme", 8))
    wrong = {one["check"]: one for one in between(run) if one["verdict"] == "fault"}
    assert {name: one["found"] for name, one in wrong.items()} == {
        "tokens": "west is not as home is: 1 unknown at home",
        "subscriptions": "west is not as home is: 1 missing",
        "caps": "west is not as home is: 1 different",
    }
    assert wrong["caps"]["fix"] == "buckstop cells align west"
    assert "if west was home before, list it first in " in wrong["tokens"]["fix"]
    assert run(wrong["caps"]["fix"]).code == 0
    assert {one["verdict"] for one in between(run)} == {"good"}
    told = run("buckstop cells align west").out
    assert told == "west: as home is now: 1 token, 1 subscription, 1 cap\n"


def between(run: Run) -> list[dict[str, Any]]:
    return [one for one in run("buckstop doctor --json").json["findings"] if one["cell"] is None]


def test_the_doctor_finds_one_server_listed_twice_and_cells_that_speak_differently(
    several: Several, run: Run
) -> None:
    """What is listed twice is counted twice; versions and keys may differ for a while."""
    with several.client("east") as east, several.client("west") as west:
        east.set(KEYS.speaks("1"), "1")
        for client, keys in ((east, ["a"]), (west, ["a", "b"])):
            client.zadd(KEYS.workers, {"w": 1})
            client.set(KEYS.worker("w"), json.dumps({"keys": keys}))
        west.set(KEYS.speaks("2"), "1")
    found = {one["check"]: one for one in between(run)}
    assert "schema versions (east: 1; west: 2)" in found["schemas"]["found"]
    assert "share some keys and not others (east: a; west: a, b)" in found["keys"]["found"]
    assert {found[name]["verdict"] for name in ("schemas", "keys")} == {"note"}
    several.servers["again"] = several.servers["west"]
    several.list("again")
    del several.servers["again"]
    found = {one["check"]: one for one in between(run) if one["verdict"] == "fault"}
    assert found["cells"]["found"].startswith("west and again are one server")


@pytest.mark.parametrize("cell", ["east", "west"])
def test_a_cell_that_is_away_is_a_finding_and_the_other_is_looked_at(
    several: Several, run: Run, cell: str
) -> None:
    """Promise: "one away is a finding and not a crash", also where it is home."""
    other = {"east": "west", "west": "east"}[cell]
    several.servers[cell].kill()
    for command in ("check", "doctor"):
        said = run(f"buckstop {command} --json")
        assert said.code == 3
        found = said.json["findings"] if command == "doctor" else said.json
        gone = [one for one in found if one["cell"] == cell]
        assert [one["verdict"] for one in gone] == ["refused"]
        assert gone[0]["found"].startswith("it is away: ")
        here = {one["check"] for one in found if one["cell"] == other and one["verdict"] == "good"}
        assert {"server", "appendonly"} <= here
        if command == "doctor":
            unknown = [one["found"] for one in found if one["verdict"] == "unknown"]
            compared = "home, which is east, is away, so the others cannot be compared with it"
            assert (compared in unknown) == (cell == "east")
    assert f"cell {cell}\n  refused  server: it is away" in run("buckstop check").out


def test_a_cell_that_hangs_or_turns_us_away_is_a_finding_too(
    several: Several, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is looked at for two seconds, and no longer; one that is named is looked at alone."""
    monkeypatch.setattr(limits, "CELL_ASK_S", 2)
    hung = several.servers["west"].pid
    os.kill(hung, signal.SIGSTOP)
    try:
        [gone] = [one for one in run("buckstop doctor --json").json["findings"] if of(one, "west")]
        assert gone["found"].startswith("it is away: no answer within 2 s")
    finally:
        os.kill(hung, signal.SIGCONT)
    alone = run("buckstop doctor --cell east --json").json["findings"]
    assert alone
    assert "cell" not in alone[0]
    url = several.servers["west"].url.replace("redis://:", "redis://:wrong")
    several.settings["west"]["url"] = url
    several.list("east")
    [gone] = [one for one in run("buckstop check --json").json if of(one, "west")]
    assert "invalid username-password pair" in gone["found"]
    assert url not in gone["found"]


def of(finding: dict[str, Any], cell: str) -> bool:
    return bool(finding["cell"] == cell)


# --- purge ---------------------------------------------------------------------------------------


def test_a_purge_is_shown_and_then_done_in_every_cell(several: Several, run: Run) -> None:
    """Promise of a purge: a task goes with every mention of it, in whichever cell it is."""
    with several.cells() as cells, orchestrated(several, "east", "west"):
        gone = {cell: ended(several, cells, cell) for cell in ("east", "west")}
        stays = cells.submit(TASK, tenant=TENANTS["west"]).id
        shown = run("buckstop purge --state completed")
        assert "2 tasks would be gone for good (1 in east, 1 in west); say it" in shown.err
        assert set(shown.out.split()) == set(gone.values())
        by_id = f"buckstop purge {gone['west']} {stays} nobody --json"
        told = run(by_id).json
        assert (told["tasks"], told["open"], told["cells"]) == (1, [stays], {"east": 0, "west": 1})
        assert run(f"{by_id} --yes").json["purged"]["tasks"] == 1
        with several.cells() as fresh, pytest.raises(NotFound):
            fresh.task(gone["west"])
        assert "gone: 1 task, " in run("buckstop purge --state completed --yes").out
        assert [one.id for one in cells.tasks().items] == [stays]


def test_a_purged_task_is_mentioned_in_no_cell_though_its_key_was_reserved_in_another(
    several: Several, run: Run
) -> None:
    """Promise of a purge: "A task goes with ... its idempotency key", wherever that is."""
    several.list("west", added=1)
    with several.cells() as cells, orchestrated(several, "west"):
        task = ended(several, cells, "west", idempotency_key="once")
        assert mentions(several, "east", task), "reserved where the old list would have put it"
        assert run(f"buckstop purge {task} --yes --rewrite").code == 0
        assert mentions(several, "east", task) == mentions(several, "west", task) == []
        again = cells.submit(TASK, tenant=TENANTS["west"], idempotency_key="once")
        assert (again.created, again.id != task) == (True, True)


def mentions(several: Several, cell: str, word: str) -> list[bytes]:
    """Name the keys of a cell that have a word in their name, or are a text with it."""
    with several.client(cell) as client:
        keys = [*client.scan_iter(f"{KEYS.prefix}*")]
        texts = [key for key in keys if client.type(key) == b"string"]
        found = {key for key in texts if word.encode() in client.get(key)}
        return sorted(found | {key for key in keys if word.encode() in key})


def test_a_purge_says_which_cell_it_has_not_reached(several: Several, run: Run) -> None:
    """What is away is not purged unnoticed: the other is done, and the exit code says so."""
    with several.cells() as cells, orchestrated(several, "east"):
        task = ended(several, cells, "east")
        several.servers["west"].kill()
        shown = run("buckstop purge --state completed --json")
        assert (shown.code, shown.json["missing"]) == (3, ["west"])
        done = run("buckstop purge --state completed --yes")
        assert (done.code, "gone: 1 task" in done.out) == (3, True)
        assert "cell 'west' is away, and not looked at; say it again once it is back" in done.err
        with noting():
            assert cells.tasks().items == []
        several.servers["west"].restart()
        assert run(f"buckstop purge {task} --yes").code == 0


def test_where_no_cell_answers_nobody_says_that_others_go_on(several: Several, run: Run) -> None:
    """Helpful errors: what happened, and what to do next, as it is."""
    with served(several) as caller:
        for cell in ("east", "west"):
            several.servers[cell].kill()
        for command in ("buckstop tasks", "buckstop purge --state completed"):
            said = run(command)
            assert said.code == 3
            assert "cells 'east' and 'west' are away: " in said.err
            assert "No cell answers; start them, and see how each is: buckstop cells" in said.err
        problem = caller.get("/v1/tasks")
        assert problem.status_code == 503
        assert problem.json()["detail"].startswith("no cell answers (east and west); nothing acce")


# --- the others ----------------------------------------------------------------------------------


def test_lists_and_figures_are_of_all_cells_or_of_the_one_that_is_named(
    several: Several, run: Run
) -> None:
    """Promise: "The CLI, API and console read across cells"; `--cell` names one of them."""
    late = {"timeout": 0.001, "at_cap": "escalate"}
    with several.cells() as cells, orchestrated(several, "east", "west"):
        tasks = {c: cells.submit(TASK, tenant=t, **late) for c, t in TENANTS.items()}
        for task in tasks.values():
            until("it is on the desk", lambda t=task: t.status().letter)
        for what in ("tasks", "letters"):
            assert len(run(f"buckstop {what} --json").json) == 2
            [only] = run(f"buckstop {what} --cell west --json").json
            assert tasks["west"].id in {only["id"], only.get("task")}
        decided = run("buckstop decide --all --cell west --yes abort --json").json
        assert (decided["decided"], len(run("buckstop letters --json").json)) == (1, 1)
        for tenant in TENANTS.values():
            cells.submit(TASK, tenant=tenant)
        first = run("buckstop tasks -n 1 --cell west")
        assert "there are more: buckstop tasks --cell west --before " in first.err
        assert sorted(run("buckstop tenants --json").json) == sorted(TENANTS.values())
        assert [*run("buckstop tenants --cell west --json").json] == [TENANTS["west"]]
        assert run("buckstop agents --json").code == run("buckstop calibration --json").code == 0


@pytest.mark.parametrize("line", ["backup copy.rdb", "broker", "serve", "courier", "worker json"])
def test_what_is_done_in_one_cell_says_how_to_name_it(run: Run, line: str) -> None:
    """Every message a person reads says what to do next: here, which words to add."""
    said = run(f"buckstop {line}")
    assert said.code == 2
    words = f"buckstop {line.split(maxsplit=1)[0]}"
    which = f"say which: {words} --cell east (or west)"
    assert said.err == f"buckstop: this is done in one cell; {which}\n"


def test_a_link_opens_the_console_in_front_of_all_cells(
    several: Several, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """docs/how-to/cells.md: sessions are at home, so is what the link logs in with."""
    said = run("buckstop console")
    assert (said.code, "set BUCKSTOP_PUBLIC_URL" in said.err) == (2, True)
    monkeypatch.setenv("BUCKSTOP_PUBLIC_URL", "http://127.0.0.1:8800")
    link = run("buckstop console").out.strip()
    page, _, code = link.partition("#code=")
    assert page == "http://127.0.0.1:8800/"
    with several.cells() as cells:
        who, _ = cells.tokens.open_session(Credential.code(code), "here")
        assert who.token is not None
        assert [each.name for each in cells.tokens.list()] == [who.token.name]


def test_each_cell_is_backed_up_by_its_name(several: Several, run: Run, tmp_path: Path) -> None:
    """docs/how-to/cells.md: "a copy is of one cell"."""
    for cell in ("east", "west"):
        with several.client(cell) as client:
            client.config_set("repl-diskless-sync-delay", 0)
        assert run(f"buckstop backup {cell}.rdb --cell {cell}").code == 0
        assert (tmp_path / f"{cell}.rdb").stat().st_size
