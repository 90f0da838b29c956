"""The primary dies under load, and Sentinels put a replica in its place: nothing else is done.

Run by `make sentinel`. Six servers of the embedded binary, real orchestrators and real workers.
"""

import random
from pathlib import Path

import pytest

from envelopes import PlanDone
from envelopes.keys import Keys
from envelopes.scripts import connect
from orchestrator import checks, intake
from orchestrator.checks import Unfit
from orchestrator.client import Buckstop
from orchestrator.doctor import Deployment, examine
from orchestrator.settings import Settings
from orchestrator.sim.auditor import audit
from orchestrator.store import Store
from tests.collector import collect
from tests.fleet import Fleet
from tests.sentinel.bed import Bed
from tests.test_chaos import AGENTS, request
from tests.until import until

KEYS = Keys("failover:")
TASKS = 60
DRAIN_S = 120


def settings(bed: Bed, replicas: int = 0) -> Settings:
    environ = {"BUCKSTOP_URL": bed.url, "BUCKSTOP_PREFIX": KEYS.prefix}
    return Settings.read(environ | {"BUCKSTOP_REPLICAS": str(replicas)})


@pytest.mark.timeout(300)
def test_work_goes_on_behind_sentinels_when_the_primary_is_killed(tmp_path: Path) -> None:
    """The issue: "Sentinel fail-over supported and tested with real Sentinels".

    First it is killed; later a living one is made a replica, and its clients must notice.
    """
    rng = random.Random(3)
    with Bed(tmp_path / "bed") as bed:
        fleet = Fleet(tmp_path, bed.url, KEYS.prefix, "tests.chaos_agents")
        client = connect(bed.url)
        store = Store(client, KEYS, replicas=1)
        try:
            fleet.orchestrator("orchestrator-1")
            fleet.worker("threads-1")
            fleet.worker("prefork-1", pool="prefork")
            until("agents are registered", lambda: len(store.agents()) == AGENTS, 60)
            acknowledged = [submitted(store, rng) for _ in range(TASKS)]
            until("it is under load", lambda: ended(store) >= TASKS // 4, DRAIN_S)
            old = bed.kill_primary()
            acknowledged += submit_through(store, rng, TASKS // 4)
            assert bed.primary() != old
            bed.start_node(old, None)
            until("the old primary follows the new one", lambda: follows(bed, old), 60)
            second = bed.primary()
            until("somebody can take over", bed.fail_over, 60)
            until("a living primary hands over", lambda: bed.primary() != second, 60)
            acknowledged += submit_through(store, rng, TASKS // 4)
            until("every task ends", lambda: ended(store) >= len(acknowledged), DRAIN_S)
            until("workers are idle", lambda: not list(client.scan_iter(KEYS.claim("*"))), 30)
            for name in ("threads-1", "prefork-1"):
                assert fleet.running[name].poll() is None, fleet.log(name)[-2000:]
            verdict = audit(collect(client, KEYS, acknowledged, fleet.effects))
        finally:
            fleet.stop()
            client.close()
    assert not verdict.violations, "\n".join(verdict.violations)


def follows(bed: Bed, port: int) -> bool:
    with bed.client(port) as node:
        said = node.info("replication")
    return said["role"] == "slave" and said["master_link_status"] == "up"


def submitted(store: Store, rng: random.Random) -> str:
    done = store.submit(intake.submission(request(rng)))
    checks.require_copies(done.copies, 1)
    return done.task_id


def submit_through(store: Store, rng: random.Random, count: int) -> list[str]:
    """Submit while the primary is away; the same submission is repeated until it is answered."""
    found: list[str] = []
    waiting = [intake.submission(request(rng)) for _ in range(count)]

    def one_more() -> bool:
        done = store.submit(waiting[len(found)])
        if done.copies >= 1:  # the other replica may still be on its way to the new primary
            found.append(done.task_id)
        return len(found) == count

    until("submits are answered again", one_more, 60)
    return found


def ended(store: Store) -> int:
    return sum(n for name, n in store.stats().items() if name.startswith("concluded_"))


def test_a_submit_is_answered_once_a_replica_has_it(tmp_path: Path) -> None:
    """BUCKSTOP_REPLICAS: what is acknowledged survives the primary."""
    asked = {"goal": "g", "agent": "a", "budget": {"calls": 1}, "timeout": 60}
    with Bed(tmp_path) as bed, Buckstop(settings=settings(bed, replicas=2)) as buckstop:
        task = buckstop.submit(**asked, until=PlanDone(), idempotency_key="k")
        replicas = set(bed.nodes) - {bed.primary()}
        for port in replicas:
            with bed.client(port) as replica:
                assert replica.exists(KEYS.task(task.id)), "at once, not in a moment"
        with bed.client(replicas.pop()) as replica:
            replica.shutdown(nosave=True)
        with pytest.raises(Unfit, match=r"1 of 2 replicas have it.*same idempotency key"):
            buckstop.submit(**asked, until=PlanDone(), idempotency_key="other")
        with pytest.raises(Unfit, match="1 of 2 replicas"):
            buckstop.submit(**asked, until=PlanDone(), idempotency_key="other")
        assert len(buckstop.tasks().items) == 2, "the second try is the same task"


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
