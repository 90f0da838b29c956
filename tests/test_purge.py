"""What is over is forgotten on demand, with every mention of it, and nothing else is touched."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from redis import Redis

from envelopes import Envelope, PlanDone
from envelopes.decision import Decision, Verb
from envelopes.letter import Facet
from envelopes.seal import Signer
from orchestrator.client import Buckstop
from orchestrator.courier.box import Box
from orchestrator.courier.expand import expand
from orchestrator.courier.subscription import NewSubscription, SubscriptionKind
from orchestrator.courier.subscriptions import Subscriptions
from orchestrator.doctor import Deployment, examine
from orchestrator.news import START
from orchestrator.purge import Purge, PurgeFound, PurgeWanted
from orchestrator.serve import Orchestrator
from orchestrator.settings import Settings, SettingsError
from orchestrator.wanted import Stage
from orchestrator.wire import Wire
from tests.conftest import Fresh
from tests.hands import Hand
from tests.pages import block, commands
from tests.reader import shell
from tests.until import until

PAGE = "docs/how-to/retention.md"
FOR_A_RETRY = "last:"
DAY_MS = 24 * 3_600_000
WORDS = "the secret life of otters"


class Office:
    """A deployment in which tasks end as a test says."""

    def __init__(self, fresh: Fresh, retention_ms: int | None = None) -> None:
        self.client, self.keys = fresh.client, fresh.keys
        environ = {"BUCKSTOP_URL": fresh.url, "BUCKSTOP_PREFIX": fresh.keys.prefix}
        self.buckstop = Buckstop(settings=Settings.read(environ))
        wire = Wire(Signer(bytes(32)), fresh.keys)
        self.loop = Orchestrator(self.buckstop.store, wire, retention_ms=retention_ms)
        self.hand = Hand(fresh.client, fresh.keys, "a")
        self.purge = Purge(fresh.client, fresh.keys)

    def submit(self, tenant: str = "default", **more: object) -> str:
        fields = {"goal": WORDS, "agent": "a", "budget": {"calls": 9}, "timeout": 600} | more
        return self.buckstop.submit(tenant=tenant, until=PlanDone(), **fields).id

    def answer(self, task: str, envelope: Envelope) -> None:
        """Let the task's one step be answered, and the owner decide."""
        self.loop.turn(idle_ms_max=1)
        for job in self.hand.take():
            assert task in job.id, "tests answer one task at a time"
            self.hand.answer(job, envelope)
        self.loop.turn(idle_ms_max=1)

    def ended(self, tenant: str = "default", **more: object) -> str:
        task = self.submit(tenant, **more)
        self.answer(task, Envelope.success(WORDS, 0.9))
        assert self.buckstop.task(task).status().final
        return task

    def decided(self, tenant: str = "default") -> str:
        """Let a task end by a person's decision, so that it had a letter."""
        task = self.submit(tenant)
        while self.buckstop.task(task).status().letter is None:
            self.answer(task, Envelope.failed(WORDS))
        letter = self.buckstop.task(task).status().letter
        text = Decision(letter=letter, verb=Verb.ABORT, by="ann").model_dump_json()
        self.buckstop.store.post(task, f"decide\n{text}".encode(), f"op{task}")
        self.loop.turn(idle_ms_max=1)
        assert self.buckstop.task(task).status().final
        return task

    def mentions(self, what: str) -> list[str]:
        """Name every key that has a word in its name or its value, wherever that is."""
        word, found = what.encode(), []
        for key in self.client.scan_iter(f"{self.keys.prefix}*"):
            dumped = repr(self.value(key)).encode()
            if word in key or word in dumped:
                found.append(key.decode().removeprefix(self.keys.prefix))
        return sorted(found)

    def value(self, key: bytes) -> object:
        match self.client.type(key):
            case b"hash":
                return self.client.hgetall(key)
            case b"list":
                return self.client.lrange(key, 0, -1)
            case b"zset":
                return self.client.zrange(key, 0, -1)
            case b"set":
                return self.client.smembers(key)
            case b"stream":
                return self.client.xrange(key)
        return self.client.get(key)


@pytest.fixture
def office(fresh: Fresh) -> Iterator[Office]:
    made = Office(fresh)
    yield made
    made.buckstop.close()


def test_a_task_is_erased_with_every_mention_of_it(office: Office) -> None:
    """The issue: "Retention and purge": one task goes with journal, letters, key and news."""
    new = NewSubscription(
        kind=SubscriptionKind.WEBHOOK, url="http://127.0.0.1:9/", allow_private=True
    )
    subscriptions = Subscriptions(office.client, office.keys)
    subscriptions.add(new)
    task = office.decided()
    keyed = office.ended(idempotency_key="order 7")
    edition, all_of_them = subscriptions.edition()
    news = office.buckstop.store.news(START, 100)
    box = Box(office.client, office.keys)
    assert box.move(START, news[-1].id, edition, expand(news, all_of_them))
    around = {"task", "journal", "letter", "news", "dead-letters", "delivery", "tasks", "expiring"}
    before = {name.partition(":")[0] for name in office.mentions(task)}
    assert around <= before, "the test has something to see go"
    done = office.purge.run([task, keyed])
    assert (done.tasks, done.letters) == (2, 1)
    assert done.news >= 5
    assert done.deliveries >= 1
    for word in (task, keyed, WORDS):
        assert [name for name in office.mentions(word) if not name.startswith(FOR_A_RETRY)] == []
    assert all(office.client.pttl(name) > 0 for name in lasts(office)), "they expire by themselves"
    again = office.submit(idempotency_key="order 7")
    assert again != keyed, "the key is free"


def lasts(office: Office) -> list[bytes]:
    """Name the replies that are kept a minute for a retry."""
    return list(office.client.scan_iter(f"{office.keys.prefix}{FOR_A_RETRY}*"))


def test_a_task_that_is_not_over_stays(office: Office) -> None:
    """Safe while running: what somebody still works on is not touched."""
    task = office.submit()
    office.loop.turn(idle_ms_max=1)
    before = office.mentions(task)
    assert office.purge.find(PurgeWanted(tasks=(task,))) == PurgeFound((), (task,))
    assert office.purge.run([task, "nobody"]).tasks == 0
    assert office.mentions(task) == before
    office.answer(task, Envelope.success("x", 0.9))
    assert office.buckstop.task(task).status().final, "it goes on as if nobody had asked"


def test_what_is_meant_is_found_by_tenant_state_and_age(office: Office) -> None:
    """The issue: older than, by tenant, by state; open tasks are named."""
    mine, theirs, aborted = office.ended("acme"), office.ended(), office.decided("acme")
    waits = office.submit("acme")
    find = office.purge.find
    assert set(find(PurgeWanted(tenant="acme")).over) == {mine, aborted}
    assert find(PurgeWanted(tenant="acme")).open == (waits,)
    assert find(PurgeWanted(stage=Stage.ABORTED)).over == (aborted,)
    assert set(find(PurgeWanted(tasks=(mine, theirs))).over) == {mine, theirs}
    assert find(PurgeWanted(older_ms=DAY_MS)).over == ()
    line = json.loads(office.client.lindex(office.keys.journal(theirs), -1))
    long_ago = json.dumps(line | {"at_ms": line["at_ms"] - 2 * DAY_MS})
    office.client.lset(office.keys.journal(theirs), -1, long_ago)
    assert find(PurgeWanted(older_ms=DAY_MS)).over == (theirs,)


def test_others_are_untouched_and_the_doctor_is_content(office: Office) -> None:
    """A purge of one tenant leaves everybody else's records, letters and indexes as they are."""
    gone, stays = office.decided("acme"), office.decided()
    before = {name: office.value(name_of(office, name)) for name in office.mentions(stays)}
    office.purge.run(office.purge.find(PurgeWanted(tenant="acme")).over)
    assert office.buckstop.store.task(gone) is None
    shared = {"news", "tasks", "expiring", "dead-letters"}
    own = {name: was for name, was in before.items() if name.partition(":")[0] not in shared}
    assert {name: office.value(name_of(office, name)) for name in own} == own
    assert [each.id for each in office.buckstop.tasks().items] == [stays]
    findings = examine(Deployment.of(office.client, office.keys))
    assert next(str(one) for one in findings if one.check == "promises").endswith("1 task")
    assert office.purge.run([gone]).tasks == 0, "a second time is nothing"


def test_a_purge_that_was_cut_off_is_finished_by_saying_it_again(office: Office) -> None:
    """Safe to repeat: the mentions of a task whose record is gone can still go."""
    task = office.decided()
    office.purge._forget([task])
    assert office.mentions(task) != []
    found = office.purge.find(PurgeWanted(tasks=(task,)))
    assert found == PurgeFound((), (), (task,))
    assert office.purge.run(found.unknown).letters == 1
    assert [name for name in office.mentions(task) if not name.startswith(FOR_A_RETRY)] == []


def test_messages_that_were_set_aside_go_with_their_task(office: Office) -> None:
    """An open letter of a message: it and its places on the desk are gone, and others are not."""
    task, other = office.ended(), office.ended()
    for name in (task, other):
        said = ("copy", "forged", office.keys.queue("a"), WORDS.encode(), "seen before")
        office.hand.claims.quarantine(*said, (f"{name}/1", ""))
    assert office.purge.run([task]).letters == 1
    assert office.buckstop.store.count_letters() == 1
    assert [one["task"] for one in office.buckstop.letters().items] == [other]
    assert office.client.zcard(office.keys.discards) == 1
    assert office.buckstop.letter_counts(Facet.KIND) == {"forged": 1}


def name_of(office: Office, name: str) -> bytes:
    return f"{office.keys.prefix}{name}".encode()


# --- how long things are kept --------------------------------------------------------------------


def test_a_deployment_says_how_long_finished_tasks_are_kept(fresh: Fresh) -> None:
    """BUCKSTOP_RETENTION: set on orchestrators, it holds for whatever ends from then on."""
    office = Office(fresh, retention_ms=30 * DAY_MS)
    task = office.ended()
    for key in (office.keys.task(task), office.keys.journal(task)):
        assert 29.9 * DAY_MS < office.client.pttl(key) <= 30 * DAY_MS
    office.buckstop.close()


@pytest.mark.parametrize("wrong", ["30 days", "-1d", "10s", "9999d", "soon"])
def test_a_wrong_retention_is_refused(wrong: str) -> None:
    """Error texts name the fix."""
    environ = {"BUCKSTOP_URL": "redis://x", "BUCKSTOP_RETENTION": wrong}
    with pytest.raises(SettingsError, match=r"BUCKSTOP_RETENTION: .* write 30d"):
        Settings.read(environ)
    assert Settings.read(environ | {"BUCKSTOP_RETENTION": "30d"}).retention_ms == 30 * DAY_MS


# --- the command ---------------------------------------------------------------------------------


def test_the_command_previews_and_then_does_it(
    fresh: Fresh, office: Office, tmp_path: Path
) -> None:
    """docs/how-to/retention.md, as pasted."""
    task, other, theirs = office.ended(), office.ended(), office.ended("acme")
    waits = office.submit("acme")
    [old] = commands(block(PAGE, "$ buckstop purge --older"))
    assert "0 tasks would be gone" in shell(fresh, old, tmp_path).stderr
    preview, deed = commands(block(PAGE, "$ buckstop purge --tenant"))
    said = shell(fresh, preview, tmp_path)
    assert said.stdout.split() == [theirs]
    assert f"buckstop cancel {waits}" in said.stderr
    assert office.buckstop.store.task(theirs) is not None
    short = shell(fresh, f"buckstop purge {task[:6]}", tmp_path)
    assert f"there is no task {task[:6]!r}" in short.stderr
    done = shell(fresh, deed, tmp_path)
    assert done.stdout.startswith("gone: 1 task, 0 letters"), done.stderr
    assert office.buckstop.store.task(theirs) is None
    one, as_json = commands(block(PAGE, "$ buckstop purge TASK"))
    assert "gone: 1 task" in shell(fresh, one.replace("TASK", task), tmp_path).stdout
    told = json.loads(shell(fresh, as_json.replace("TASK", other), tmp_path).stdout)
    assert told["purged"]["tasks"] == 1
    assert shell(fresh, "buckstop purge --yes", tmp_path).returncode == 2, "all is never meant"


def test_the_file_on_disk_is_written_anew_where_that_is_asked_for(
    fresh: Fresh, client: Redis, tmp_path: Path
) -> None:
    """--rewrite: what is gone stays in the append-only file until then."""
    before = client.info("persistence")["aof_rewrites"]
    done = shell(fresh, "buckstop purge nobody --yes --rewrite", tmp_path)
    assert done.returncode == 0, done.stderr
    until("it is written anew", lambda: client.info("persistence")["aof_rewrites"] > before)
