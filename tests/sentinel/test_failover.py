"""The primary dies under load, and Sentinels put a replica in its place: nothing else is done.

Run by `make sentinel`. Six servers of the embedded binary, real orchestrators and real workers.
"""

import random
from collections.abc import Iterator
from pathlib import Path

import pytest
from redis.exceptions import ResponseError

from envelopes import PlanDone
from envelopes.address import Sentinels
from envelopes.connection import takes_no_writes
from envelopes.keys import Keys
from envelopes.scripts import connect
from orchestrator import checks, intake
from orchestrator.checks import Unfit
from orchestrator.client import Buckstop, TaskHandle
from orchestrator.doctor import Deployment, examine
from orchestrator.doctor.server import sentinels
from orchestrator.settings import Settings
from orchestrator.sim.auditor import audit
from orchestrator.store import Store, Submission
from tests.collector import collect
from tests.fleet import Fleet, ended
from tests.sentinel.bed import PATIENCE_S, Bed
from tests.test_chaos import AGENTS
from tests.test_chaos import request as drawn
from tests.until import until

pytestmark = pytest.mark.timeout(400)
KEYS = Keys("failover:")
TASKS = 40
MAY_BE_LOST = ("5 ", "8 ")
"""What is spent on work that a fail-over forgets, and that is therefore done once more. A killed
process loses next to nothing, but nobody promises that."""
DRAIN_S = 150


def settings(bed: Bed, replicas: int = 0) -> Settings:
    environ = {"BUCKSTOP_URL": bed.url, "BUCKSTOP_PREFIX": KEYS.prefix}
    return Settings.read(environ | {"BUCKSTOP_REPLICAS": str(replicas)})


SMALL = {"goal": "g", "agent": "a", "budget": {"calls": 1}, "timeout": 60}


class Run:
    """Orchestrator, workers and a client behind Sentinels, and what the client was told."""

    def __init__(self, bed: Bed, folder: Path) -> None:
        self.bed, self._rng = bed, random.Random(3)
        self.fleet = Fleet(folder, bed.url, KEYS.prefix, "tests.chaos_agents")
        self.client = connect(bed.url)
        self.store = Store(self.client, KEYS, replicas=1)
        self.acknowledged: list[str] = []

    def begin(self) -> None:
        """Start everybody, and come under load."""
        self.fleet.orchestrator("orchestrator-1")
        self.fleet.worker("threads-1")
        self.fleet.worker("prefork-1", pool="prefork")
        until("agents are registered", lambda: len(self.store.agents()) == AGENTS, DRAIN_S)
        self.submit(TASKS)
        until("it is under load", lambda: ended(self.store) >= TASKS // 4, DRAIN_S)

    def submit(self, count: int) -> None:
        """Submit, and repeat each submission until a replica has it, whoever is away meanwhile."""
        for _ in range(count):
            waiting = intake.submission(drawn(self._rng))
            until("it is kept", lambda it=waiting: self._is_kept(it), PATIENCE_S)
            self.acknowledged.append(waiting.task_id)

    def _is_kept(self, waiting: Submission) -> bool:
        try:
            return self.store.submit(waiting).copies >= 1
        except ResponseError as error:
            if takes_no_writes(error):
                return False  # its replicas are on their way
            raise

    def drained(self) -> list[str]:
        """Wait until everything has ended; return the promises that were broken."""
        until("all tasks end", lambda: ended(self.store) >= len(self.acknowledged), DRAIN_S)
        until("workers are idle", lambda: not list(self.client.scan_iter(KEYS.claim("*"))))
        for name in ("threads-1", "prefork-1"):
            assert self.fleet.running[name].poll() is None, self.fleet.log(name)[-2000:]
        evidence = collect(self.client, KEYS, self.acknowledged, self.fleet.effects)
        return audit(evidence).violations

    def end(self) -> None:
        self.fleet.stop()
        self.client.close()


@pytest.fixture
def run(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Run]:
    """Hand out a run; a test may say how many replicas each write needs."""
    with Bed(tmp_path / "bed", replicas_to_write=getattr(request, "param", 0)) as bed:
        made = Run(bed, tmp_path)
        try:
            made.begin()
            yield made
        finally:
            made.end()


def test_work_goes_on_behind_sentinels_when_the_primary_is_killed(run: Run) -> None:
    """The issue: "Sentinel fail-over supported and tested with real Sentinels"."""
    old = run.bed.kill_primary()
    run.submit(TASKS // 4)
    assert run.bed.primary() != old
    broken = [one for one in run.drained() if not one.startswith(MAY_BE_LOST)]
    assert broken == [], "\n".join(broken)


def test_a_planned_hand_over_costs_nothing_at_all(run: Run) -> None:
    """docs/how-to/sentinel.md: writes are held for a moment, and no promise is broken."""
    run.bed.hand_over()
    run.submit(TASKS // 4)
    broken = run.drained()
    assert broken == [], "\n".join(broken)


@pytest.mark.parametrize("run", [1], indirect=True)
def test_a_primary_without_replicas_turns_work_down_and_goes_on_where_it_stopped(run: Run) -> None:
    """The page: "A primary that no replica has confirmed for two seconds turns writes down"."""
    primary = run.bed.primary()
    replicas = [port for port in run.bed.nodes if port != primary]
    for port in replicas:
        run.bed.kill(port)
    with run.bed.client(primary) as alone:
        until("it has seen them go", lambda: not alone.info("replication")["connected_slaves"])
    with pytest.raises(ResponseError, match="NOREPLICAS"):
        run.store.submit(intake.submission({**SMALL, "until": PlanDone()}))
    for port in replicas:
        run.bed.start_node(port, primary)
    run.submit(TASKS // 4)
    broken = run.drained()
    assert broken == [], "\n".join(broken)


def test_a_submit_is_answered_once_a_replica_has_it(tmp_path: Path) -> None:
    """BUCKSTOP_REPLICAS: what is acknowledged survives the primary."""
    with Bed(tmp_path) as bed, Buckstop(settings=settings(bed, replicas=2)) as buckstop:
        task = until("both replicas have it", lambda: submitted(buckstop))
        replicas = set(bed.nodes) - {bed.primary()}
        for port in replicas:
            with bed.client(port) as replica:
                assert replica.exists(KEYS.task(task.id)), "at once, not in a moment"
        with bed.client(replicas.pop()) as replica:
            replica.shutdown(nosave=True)
        with pytest.raises(Unfit, match=r"[01] of 2 replicas have it.*same idempotency key"):
            buckstop.submit(**SMALL, until=PlanDone(), idempotency_key="other")
        with pytest.raises(Unfit, match=r"[01] of 2 replicas"):
            buckstop.submit(**SMALL, until=PlanDone(), idempotency_key="other")
        assert len(buckstop.tasks().items) == 2, "the second try is the same task"


def submitted(buckstop: Buckstop) -> TaskHandle | None:
    """Submit with a key, or return None where that took a replica longer than a submit waits."""
    try:
        return buckstop.submit(**SMALL, until=PlanDone(), idempotency_key="k")
    except Unfit:
        return None


def test_the_doctor_says_that_a_primary_alone_should_not_go_on(tmp_path: Path) -> None:
    """min-replicas-to-write: a primary that is cut off stops acknowledging."""
    with Bed(tmp_path) as bed, connect(bed.url) as client:
        deployment = Deployment.of(client, KEYS)
        [found] = [one for one in examine(deployment) if one.check == "replicas"]
        assert found.verdict is checks.Verdict.NOTE
        for command in found.fix.split(", and "):
            client.execute_command(*command.split())
        [after] = [one for one in examine(deployment) if one.check == "replicas"]
        assert after.verdict is checks.Verdict.GOOD


def test_the_doctor_says_whether_somebody_would_take_over(tmp_path: Path) -> None:
    """One Sentinel of three may be missing; with two gone the next loss is the last."""
    with Bed(tmp_path) as bed, connect(bed.url) as client:
        deployment = Deployment.of(client, KEYS, kept=Sentinels.of(bed.url))
        good = until(
            "each sees the others",
            lambda: sentinels_of(deployment),
            PATIENCE_S,
            good=lambda found: found.verdict is checks.Verdict.GOOD,
        )
        assert good.found == "ready to take over: 3 of 3"
        bed.kill_sentinel(0)
        until("two are enough", lambda: verdict(deployment) is checks.Verdict.NOTE, PATIENCE_S)
        bed.kill_sentinel(1)
        until("one alone is not", lambda: verdict(deployment) is checks.Verdict.FAULT, PATIENCE_S)
        bed.kill_sentinel(2)
        [bad] = sentinels(deployment)
        assert "no Sentinel answers" in bad.found


def sentinels_of(deployment: Deployment) -> checks.Finding:
    [found] = sentinels(deployment)
    return found


def verdict(deployment: Deployment) -> checks.Verdict:
    return sentinels_of(deployment).verdict
