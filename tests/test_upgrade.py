"""The rules by which two versions work side by side; the processes themselves: tests/upgrade/."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType

import pytest

from envelopes import SCHEMA_VERSION, Envelope, Headers, TaskRequest, limits, versions
from envelopes.decision import Decision
from envelopes.letter import LetterKind
from envelopes.lines import JsonLines
from envelopes.seal import Signer, Verifier
from envelopes.versions import OLDEST_VERSION, SINCE, Newer, kept, written, written_for_anybody
from orchestrator import intake
from orchestrator.checks import Verdict
from orchestrator.core import state
from orchestrator.core.task import StepState, Task
from orchestrator.doctor.crew import schemas
from orchestrator.doctor.deployment import Deployment
from orchestrator.keyfile import public_of
from orchestrator.letters import read_mail
from orchestrator.serve import Orchestrator
from orchestrator.settings import Settings, SettingsError
from orchestrator.store import Store
from orchestrator.wire import Wire
from tests.next_version import make_next
from tests.pages import block, commands
from tests.shop import PRIVATE_KEY, Office
from workers.gate import Kind, Refusal, inspect

PAGE = "docs/how-to/upgrade.md"
TASK = {
    "goal": "g",
    "agent": "a",
    "budget": {"tokens": 5_000},
    "timeout": "5m",
    "until": {"kind": "plan_done"},
}
RECORDS = {
    "headers": set(Headers.model_fields),
    "envelope": set(Envelope.model_fields),
    "request": set(TaskRequest.model_fields),
    "decision": set(Decision.model_fields),
    "head": set(Task.__struct_fields__),
    "step": set(StepState.__struct_fields__),
}


@pytest.fixture
def since(monkeypatch) -> Mapping[str, dict[str, int]]:
    """Let some fields be of a second version, which is not the one that is spoken."""
    newer = {name: {} for name in SINCE} | {"envelope": {"progress": 2}, "head": {"stalls": 2}}
    newer |= {"step": {"lost": 2}, "request": {"labels": 2}}
    monkeypatch.setattr(versions, "SINCE", MappingProxyType(newer))
    versions.too_new.cache_clear()
    yield newer
    monkeypatch.undo()
    versions.too_new.cache_clear()


# --- the rule ------------------------------------------------------------------------------------


def test_the_table_names_fields_that_there_are_and_versions_that_can_be() -> None:
    """A typo in the table would let a field out that nobody can read."""
    assert SINCE.keys() == RECORDS.keys()
    assert SCHEMA_VERSION - 1 <= OLDEST_VERSION <= SCHEMA_VERSION
    for record, fields in SINCE.items():
        assert fields.keys() <= RECORDS[record]
        assert all(OLDEST_VERSION < since <= SCHEMA_VERSION for since in fields.values())


def test_what_is_newer_is_left_out_of_what_older_ones_read(since) -> None:
    assert kept("head", {"hop": 1, "stalls": 2}, 1) == {"hop": 1}
    assert kept("head", {"hop": 1, "stalls": 2}, 2) == {"hop": 1, "stalls": 2}
    said = Envelope.success({}, 0.9)
    assert "progress" not in json.loads(written("envelope", said, 1))
    assert "progress" in json.loads(written("envelope", said, 2))


def test_a_caller_sends_what_is_new_only_where_it_is_meant(since) -> None:
    """Who submits does not know which versions are spoken; a default says nothing."""
    plain = intake.read(TASK)
    assert "labels" not in json.loads(written_for_anybody("request", plain))
    meant = intake.read(TASK, labels={"team": "x"})
    assert json.loads(written_for_anybody("request", meant))["labels"] == {"team": "x"}


def test_a_task_is_written_in_the_version_that_is_spoken(since) -> None:
    task = state.begin("t", intake.read(TASK), 0)
    fields, _ = state.write(None, task, 1)
    head = json.loads(fields[state.HEAD])
    assert (head["v"], "stalls" in head) == (1, False)
    assert state.read("t", 0, intake.read(TASK), fields) == task, "defaults mean what they meant"
    assert json.loads(state.write(None, task, 2)[0][state.HEAD])["stalls"] == 0


# --- what is too new -----------------------------------------------------------------------------


def test_an_orchestrator_leaves_alone_what_it_would_spoil() -> None:
    fields, _ = state.write(None, state.begin("t", intake.read(TASK), 0), SCHEMA_VERSION + 1)
    with pytest.raises(Newer, match=f"version {SCHEMA_VERSION + 1}; this one knows"):
        state.require_known(fields)
    state.require_known({})
    state.require_known({state.HEAD: b"{}"})  # from before heads said so


class Meeting:
    """An orchestrator and a task that is too new for it, whose alarm rings."""

    def __init__(self, fresh) -> None:
        self.store = Store(fresh.client, fresh.keys)
        self.loop = Orchestrator(self.store, Wire(Signer(PRIVATE_KEY), fresh.keys))
        self.task = self.store.submit(intake.submission(TASK)).task_id
        begun = state.begin(self.task, intake.read(TASK), 0)
        fields, _ = state.write(None, begun, SCHEMA_VERSION + 1)
        fresh.client.hset(fresh.keys.task(self.task), mapping=fields)
        self._ring = lambda: fresh.client.zadd(fresh.keys.due, {self.task: 0})

    def turns(self, count: int) -> list[int]:
        """Let the alarm ring so often; return how often it was answered."""
        return [(self._ring(), self.loop.turn(idle_ms_max=1))[1] for _ in range(count)]


def test_what_is_left_to_a_newer_one_is_not_claimed_again_at_once(fresh) -> None:
    """Loops that sleep until one alarm may wake in the same order each time."""
    meeting = Meeting(fresh)
    assert meeting.turns(3) == [1, 0, 0]
    assert meeting.store.claim(1).task_ids == [meeting.task], "a newer one gets it"


def test_what_no_newer_one_came_for_is_looked_at_again(fresh, monkeypatch) -> None:
    monkeypatch.setattr(limits, "LEFT_MS", 0)
    assert Meeting(fresh).turns(3) == [1, 0, 1], "the CLAIM that learns the time names it still"


def test_no_more_is_left_than_each_claim_may_name(fresh, monkeypatch) -> None:
    monkeypatch.setattr(limits, "LEFT_MAX", 0)
    assert Meeting(fresh).turns(3) == [1, 0, 1]


def test_mail_with_an_unknown_field_is_left_to_whoever_knows_it() -> None:
    with pytest.raises(Newer, match="a decision cannot be read here: tone"):
        read_mail(b'decide\n{"letter": "l", "verb": "abort", "by": "b", "tone": "kind"}')
    with pytest.raises(Newer, match="a cancellation"):
        read_mail(b'cancel\n{"by": "b", "why": "w", "tone": "kind"}')


@pytest.mark.parametrize("version", [0, SCHEMA_VERSION + 1, "1", None])
def test_a_worker_does_not_run_what_it_cannot_read(fresh, version) -> None:
    """The gate: "a schema version that this worker does not know"."""
    message = Office(fresh.client, fresh.keys).message("a")
    signer = Signer(PRIVATE_KEY)
    raw = json.dumps(replace(message, headers=message.headers | {"v": version}).sealed(signer))
    checks = Verifier([public_of(PRIVATE_KEY)])
    found = inspect(raw.encode(), fresh.keys.queue("a"), 0, checks, {"agent.a"})
    assert isinstance(found, Refusal)
    assert (found.kind, found.filed_as) == (Kind.SCHEMA, LetterKind.UNDELIVERABLE)


# --- who speaks what -----------------------------------------------------------------------------


def test_the_oldest_that_lives_says_what_is_written(fresh) -> None:
    """The sign of an older one is gone when it is, and not before."""
    office = Office(fresh.client, fresh.keys)
    script = office.store._scripts
    last = [fresh.keys.last("x")]

    def spoken(mine: int) -> int:
        return script.run("claim", last, [os.urandom(8).hex(), 1, mine])[3]

    assert spoken(3) == 3
    assert spoken(2) == 2
    assert spoken(3) == 2, "somebody who lives speaks 2"
    assert 0 < fresh.client.pttl(fresh.keys.speaks("2")) <= 15_000
    fresh.client.delete(fresh.keys.speaks("2"))
    assert spoken(3) == 3


def test_the_doctor_tells_which_versions_are_spoken(fresh) -> None:
    """Issue: `buckstop doctor` checks "schema versions"."""

    def found() -> tuple[Verdict, str]:
        (finding,) = schemas(Deployment.of(fresh.client, fresh.keys))
        return finding.verdict, finding.found

    assert found() == (Verdict.GOOD, "schema version none is spoken")
    fresh.client.set(fresh.keys.speaks(str(SCHEMA_VERSION)), 1)
    assert found() == (Verdict.GOOD, f"schema version {SCHEMA_VERSION} is spoken")
    fresh.client.set(fresh.keys.speaks(str(SCHEMA_VERSION + 1)), 1)
    verdict, said = found()
    assert verdict is Verdict.FAULT
    assert f"schema versions {SCHEMA_VERSION}, {SCHEMA_VERSION + 1} are spoken" in said


def test_a_setting_keeps_the_old_form() -> None:
    url = {"BUCKSTOP_URL": "redis://h"}
    assert Settings.read(url).schema == SCHEMA_VERSION
    assert Settings.read(url | {"BUCKSTOP_SCHEMA": "1"}).schema == 1
    for wrong in ("0", "one", str(SCHEMA_VERSION + 1)):
        with pytest.raises(SettingsError, match=r"BUCKSTOP_SCHEMA is .* writes 1 to"):
            Settings.read(url | {"BUCKSTOP_SCHEMA": wrong})


def test_a_next_version_can_be_made_of_this_one(tmp_path) -> None:
    """What tests/upgrade/ runs beside this version: it must not fall behind unseen."""
    tree = make_next(tmp_path)
    code = "import envelopes; print(envelopes.__file__, envelopes.SCHEMA_VERSION)"
    run = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tree,
        env={**os.environ, "PYTHONPATH": str(tree)},
        check=True,
        capture_output=True,
        text=True,
    )
    assert run.stdout.split() == [str(tree / "envelopes" / "__init__.py"), "2"]


# --- docs/how-to/upgrade.md ----------------------------------------------------------------------


def test_the_pages_commands_are_ones_that_there_are() -> None:
    for beginning in ("$ buckstop doctor", "$ BUCKSTOP_SCHEMA=1"):
        (command,) = commands(block(PAGE, beginning))
        *variables, _, name = command.split(" ")
        run = subprocess.run(
            [f"{os.path.dirname(sys.executable)}/buckstop", name, "--help"],  # noqa: PTH120
            env=os.environ | dict(each.split("=") for each in variables),
            check=True,
            capture_output=True,
            text=True,
        )
        assert "Usage" in run.stdout


def test_the_pages_line_is_what_is_logged(fresh, caplog) -> None:
    store = Store(fresh.client, fresh.keys)
    loop = Orchestrator(store, Wire(Signer(PRIVATE_KEY), fresh.keys), newest=2)
    with caplog.at_level("INFO", "buckstop.serve"):
        loop._speak(2)
        loop._speak(2)
        loop._speak(3)  # no newer than it may
    (record,) = [each for each in caplog.records if each.name == "buckstop.serve"]
    said = JsonLines(process="orchestrator").fields(record)
    shown = json.loads(block(PAGE, '{"at"'))
    assert said | {"at": 0, "pid": 0} == shown | {"at": 0, "pid": 0}
