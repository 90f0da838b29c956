"""docker-compose.yml keeps its promises on a real engine. Run by `make compose`; see __main__.py.

The tests share one deployment, each leaves it whole. Not named test_*: `make test` needs no engine.
"""

from collections import Counter

import httpx
import pytest

from tests.compose.engine import IMAGE, PROJECT, SERVICES, Deployment, until

WORKER_RUNS_AT_ONCE = 4


def test_everything_is_up_and_a_task_is_done(deployed: Deployment) -> None:
    """`docker-compose.yml` "that really runs": all healthy, two orchestrators, a task over HTTP."""
    seen = {name: deployed.containers(name) for name in SERVICES}
    assert {name: len(ids) for name, ids in seen.items()} == {
        **dict.fromkeys(SERVICES, 1),
        "orchestrator": 2,
    }
    for each in (each for ids in seen.values() for each in ids):
        assert deployed.inspect(each)["State"]["Health"]["Status"] == "healthy"
    [task] = deployed.results(deployed.submit(1, 0.1))
    assert task["result"]["host"] == deployed.containers("worker")[0][:12]


def test_no_container_has_more_than_it_needs(deployed: Deployment) -> None:
    """The promise: "Resource limits, non-root, read-only file systems, internal network"."""
    for name in SERVICES:
        for each in deployed.containers(name):
            about = deployed.inspect(each)
            host = about["HostConfig"]
            assert about["Config"]["User"] not in {"", "0", "root"}
            assert host["ReadonlyRootfs"]
            assert host["CapDrop"] == ["ALL"]
            assert host["Memory"] > 0
            assert host["NanoCpus"] > 0
            assert host["RestartPolicy"]["Name"] == "unless-stopped"
            assert about["Config"]["StopTimeout"] > 25
    [redis] = deployed.containers("redis")
    assert list(deployed.inspect(redis)["NetworkSettings"]["Networks"]) == [f"{PROJECT}_inside"]
    network = deployed.run("docker", "network", "inspect", f"{PROJECT}_inside")
    assert '"Internal": true' in network


def test_the_image_has_no_compiler_no_pip_and_no_registry(deployed: Deployment) -> None:
    """The promise: "One Dockerfile, multi-stage, small, no compiler in the final image"."""
    look = "! command -v gcc && ! command -v cc && ! command -v make && test ! -e /venv/bin/pip"
    deployed.run("docker", "run", "--rm", "--network=none", IMAGE, "sh", "-ec", look)
    history = deployed.run("docker", "history", "--no-trunc", "--format", "{{.CreatedBy}}", IMAGE)
    assert "PIP_INDEX_URL" not in history


def test_no_password_stands_in_an_environment_or_a_command(deployed: Deployment) -> None:
    """The promise: "Password by secret": whoever may list containers learns none."""
    passwords = [path.read_text().strip() for path in deployed.secrets.iterdir()]
    assert len(passwords) >= 8
    for name in SERVICES:
        for each in deployed.containers(name):
            about = str(deployed.inspect(each))
            assert not [password for password in passwords if password in about]


def test_only_orchestrators_can_sign(deployed: Deployment) -> None:
    """Workers verify and cannot sign, so no worker can mint budget."""
    holders = {
        name
        for name in SERVICES
        for mount in deployed.inspect(deployed.containers(name)[0])["Mounts"]
        if mount["Destination"] == "/signing"
    }
    assert holders == {"orchestrator"}


def test_flower_sees_the_workers_queues(deployed: Deployment) -> None:
    """Queues readable for a person, through Flower's API."""
    login, password = (deployed.secrets / "flower_login").read_text().strip().split(":")
    api = f"http://127.0.0.1:{deployed.flower_port}/api"

    def depths() -> dict[str, int]:
        httpx.get(f"{api}/workers?refresh=1", auth=(login, password), timeout=30)
        answer = httpx.get(f"{api}/queues/length", auth=(login, password), timeout=30)
        return {each["name"]: each["messages"] for each in answer.json()["active_queues"]}

    assert until("the queue is shown", depths, lambda found: "buckstop:agent.nap" in found)


def test_workers_are_added_without_a_restart_and_share_the_load(deployed: Deployment) -> None:
    """`docker compose up -d --scale worker=4` "spreads load with no restart of anything"."""
    before = deployed.started(*SERVICES)
    deployed.compose("up", "--detach", "--no-build", "--wait", "--scale", "worker=3")
    after = deployed.started(*SERVICES)
    assert {each: after[each] for each in before} == before
    tasks = deployed.results(deployed.submit(30, 1.0))
    ran = Counter(task["result"]["host"] for task in tasks)
    assert set(ran) == {each[:12] for each in deployed.containers("worker")}
    assert min(ran.values()) >= WORKER_RUNS_AT_ONCE


@pytest.mark.parametrize("service", ["worker", "orchestrator", "redis"])
def test_a_crash_in_the_middle_loses_nothing(deployed: Deployment, service: str) -> None:
    """Crashes "(kill the container's main process) lose nothing"; every task ends."""
    tasks = deployed.submit(12, 4.0)
    victim = deployed.containers(service)[0]
    if service == "worker":  # one that holds work
        busy = next(deployed.running(tasks))
        holder = deployed.redis("admin", "HGET", f"buckstop:claim:{busy}/1", "worker")
        [victim] = [c for c in deployed.containers("worker") if c[:12] == holder.split(".")[0]]
    else:
        next(deployed.running(tasks))
    deployed.crash(victim)
    tasks += deployed.submit(4, 0.1)
    deployed.results(tasks)


def test_a_cut_from_redis_heals(deployed: Deployment) -> None:
    """The promise: "a network cut of Redis heals"; nothing is restarted for it."""
    others = [name for name in SERVICES if name != "redis"]
    before = deployed.started(*others)
    tasks = deployed.submit(12, 8.0)
    next(deployed.running(tasks))
    [redis] = deployed.containers("redis")
    network = f"{PROJECT}_inside"
    deployed.run("docker", "network", "disconnect", network, redis)
    until("the API says so", lambda: deployed.client.get("/readyz").status_code == 503)
    deployed.run("docker", "network", "connect", "--alias", "redis", network, redis)
    until("the API is ready", lambda: deployed.client.get("/readyz").status_code == 200)
    deployed.results(tasks + deployed.submit(4, 0.1))
    assert deployed.started(*others) == before


def test_a_worker_told_to_stop_ends_what_it_has_begun(deployed: Deployment) -> None:
    """The promise: "Graceful stop longer than the drain": no step is taken away and done again."""
    tasks = deployed.submit(8, 5.0)
    next(deployed.running(tasks))
    began = set(until("work has begun", lambda: list(deployed.running(tasks))))
    deployed.compose("stop", "worker")
    codes = {deployed.inspect(each)["State"]["ExitCode"] for each in deployed.containers("worker")}
    assert codes == {0}
    kept = [task for task in deployed.results(sorted(began)) if task["subtasks"] == 1]
    assert len(kept) == len(began)
    deployed.compose("start", "worker")
    deployed.results(tasks)
