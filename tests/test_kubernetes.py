"""deploy/kubernetes, looked at offline: what kustomize would apply is valid, and fits together."""

import re
from runpy import run_module

import jsonschema
import kubernetes_validate
import pytest
import yaml
from redis import Redis

from envelopes.address import with_password
from envelopes.keys import Keys
from tests import acl
from tests.conftest import Fresh
from tests.keda import KEDA
from tests.kubectl import Shop
from tests.kustomize import Object, compose, name_of, walk
from tests.pages import ROOT
from workers.agent import registry

DEPLOY = ROOT / "deploy" / "kubernetes"
COMPOSE = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
KUBERNETES = "1.33"
EXAMPLE = compose(DEPLOY / "example")
PLAIN = [*compose(DEPLOY / "base"), *compose(DEPLOY / "worker")]
OURS = ("orchestrator", "worker", "http", "courier", "flower")
WORKLOADS = ("Deployment", "StatefulSet")


def of_kind(objects: list[Object], *kinds: str) -> list[Object]:
    return [each for each in objects if each["kind"] in kinds]


def pod_of(workload: Object) -> Object:
    return workload["spec"]["template"]["spec"]


def container_of(workload: Object) -> Object:
    (container,) = pod_of(workload)["containers"]
    return container


def component_of(workload: Object) -> str:
    return workload["metadata"]["labels"]["app.kubernetes.io/component"]


def selected(objects: list[Object], selector: Object) -> list[Object]:
    """Return the workloads whose pods a selector finds."""
    return [
        each
        for each in of_kind(objects, *WORKLOADS)
        if selector.get("matchLabels", {}).items()
        <= each["spec"]["template"]["metadata"]["labels"].items()
        and all(
            each["spec"]["template"]["metadata"]["labels"].get(rule["key"]) in rule["values"]
            for rule in selector.get("matchExpressions", ())
        )
    ]


WORKLOADS_OF_ALL = [
    pytest.param(each, id=f"{where}:{name_of(each)}")
    for where, objects in (("example", EXAMPLE), ("plain", PLAIN))
    for each in of_kind(objects, *WORKLOADS)
]
PROCESSES = [one for one in WORKLOADS_OF_ALL if component_of(one.values[0]) != "redis"]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[str, set[str]]:
    """Make the page's secrets once."""
    return Shop(tmp_path_factory.mktemp("secrets")).secrets()


# --- each is valid -------------------------------------------------------------------------------


@pytest.mark.parametrize("objects", [EXAMPLE, PLAIN], ids=["example", "plain"])
def test_every_object_is_valid(objects: list[Object]) -> None:
    """Issue 5: «manifests (kustomize) ...; validated offline in CI»."""
    names = [name_of(each) for each in objects]
    assert len(names) == len(set(names)), "no two have one name"
    for each in objects:
        assert each["metadata"]["namespace"] == "buckstop"
        if each["apiVersion"].startswith("keda.sh/"):
            jsonschema.validate(each["spec"], KEDA[each["kind"]])
        else:
            kubernetes_validate.validate(each, KUBERNETES, strict=True)


def test_nothing_lies_in_the_directory_that_is_not_composed() -> None:
    """A file that nobody applies is a file that nobody tests."""
    composed = DEPLOY / "example" / "kustomization.yaml"
    named = {composed}
    for file in DEPLOY.rglob("kustomization.yaml"):
        asked = yaml.safe_load(file.read_text())
        for field in ("resources", "components", "configurations"):
            for name in asked.get(field, ()):
                path = (file.parent / name).resolve()
                named.add(path / "kustomization.yaml" if path.is_dir() else path)
    assert set(DEPLOY.rglob("*.yaml")) <= named


# --- they fit together ---------------------------------------------------------------------------


@pytest.mark.parametrize("workload", WORKLOADS_OF_ALL)
def test_whatever_a_pod_refers_to_is_there(workload: Object, made: dict[str, set[str]]) -> None:
    """Every ConfigMap is composed; every secret and each key of it is made by the page."""
    maps = {name_of(each) for each in (*EXAMPLE, *PLAIN) if each["kind"] == "ConfigMap"}
    for found in walk(workload["spec"]["template"]):
        for field in ("configMapRef", "configMap"):
            if field in found:
                assert f"ConfigMap/{found[field]['name']}" in maps
        for secret in (found.get("secret"), found.get("secretRef")):
            if secret is not None:
                keys = made[secret.get("secretName") or secret["name"]]
                assert {item["key"] for item in secret.get("items", ())} <= keys
    volumes = {each["name"] for each in pod_of(workload)["volumes"]}
    claims = {each["metadata"]["name"] for each in workload["spec"].get("volumeClaimTemplates", ())}
    mounts = {each["name"] for each in container_of(workload)["volumeMounts"]}
    assert mounts == volumes | claims


@pytest.mark.parametrize("objects", [EXAMPLE, PLAIN], ids=["example", "plain"])
def test_every_selector_finds_its_pods_and_no_others(objects: list[Object]) -> None:
    for each in of_kind(objects, *WORKLOADS):
        assert selected(objects, each["spec"]["selector"]) == [each]
    for each in of_kind(objects, "PodDisruptionBudget"):
        assert len(selected(objects, each["spec"]["selector"])) == 1, name_of(each)
    for each in of_kind(objects, "Service"):
        (target,) = selected(objects, {"matchLabels": each["spec"]["selector"]})
        ports = {port["name"] for port in container_of(target)["ports"]}
        assert {port["targetPort"] for port in each["spec"]["ports"]} <= ports


def test_only_our_own_reach_redis_and_every_port_that_is_open_exists() -> None:
    """Issue 5: «internal network»; here: network policies."""
    policies = {
        each["metadata"]["name"]: each["spec"] for each in of_kind(EXAMPLE, "NetworkPolicy")
    }
    assert policies["closed"] == {"podSelector": {}, "policyTypes": ["Ingress"]}
    (rule,) = policies["redis"]["ingress"]
    reach = selected(EXAMPLE, rule["from"][0]["podSelector"])
    assert {component_of(each) for each in reach} == set(OURS)
    assert "egress" not in policies["redis"]
    for name, spec in policies.items():
        for rule in spec.get("ingress", ()):
            (target,) = selected(EXAMPLE, spec["podSelector"])
            ports = {port["name"] for port in container_of(target)["ports"]}
            assert {port["port"] for port in rule["ports"]} <= ports, name


def test_agents_scale_by_their_own_queue(own_registry: None) -> None:
    """Issue 5: «KEDA scaling on agent queue depth»: the list is the one that messages are in."""
    run_module("workers.demo.agents")  # which declares them, whoever has imported it before
    (login,) = of_kind(EXAMPLE, "TriggerAuthentication")
    (redis,) = [each for each in of_kind(EXAMPLE, "Service") if name_of(each) == "Service/redis"]
    scaled = of_kind(EXAMPLE, "ScaledObject")
    workers_ = {each["metadata"]["name"]: each for each in of_kind(EXAMPLE, "Deployment")}
    assert {each["spec"]["scaleTargetRef"]["name"] for each in scaled} == {
        name for name, each in workers_.items() if component_of(each) == "worker"
    }
    for each in scaled:
        agent = each["metadata"]["labels"]["buckstop/group"]
        (trigger,) = each["spec"]["triggers"]
        assert agent in registry
        assert trigger["metadata"]["listName"] == Keys().queue(agent)
        port = redis["spec"]["ports"][0]["port"]
        assert (
            trigger["metadata"]["address"] == f"redis.{redis['metadata']['namespace']}.svc:{port}"
        )
        assert trigger["authenticationRef"]["name"] == login["metadata"]["name"]


# --- they run as docker-compose.yml does ---------------------------------------------------------


@pytest.mark.parametrize("workload", PROCESSES)
def test_a_process_is_started_and_looked_after_as_in_compose(workload: Object) -> None:
    """The same command, the same user of Redis, the same checks: tests/compose runs those."""
    theirs = COMPOSE["services"][component_of(workload)]
    here = container_of(workload)
    plain = [re.sub(r"\$\{\w+:-(\w+)\}", r"\1", word) for word in theirs["command"]]
    assert here["command"] == plain
    environ = {each["name"]: each["value"] for each in here["env"]}
    for name in ("BUCKSTOP_URL", "BUCKSTOP_PASSWORD_FILE", "BUCKSTOP_SIGNING_KEY_FILE"):
        assert environ.get(name) == theirs["environment"].get(name)
    checks = " ".join(theirs["healthcheck"]["test"])
    probe = here["readinessProbe"]
    wanted = probe["exec"]["command"][-1] if "exec" in probe else probe["httpGet"]["path"]
    assert wanted in checks


def test_redis_is_started_as_in_compose() -> None:
    """Issue 5: «redis (AOF, noeviction, ACL users, password by secret)»."""
    (redis,) = of_kind(PLAIN, "StatefulSet")
    theirs = COMPOSE["services"]["redis"]
    assert container_of(redis)["command"] == theirs["entrypoint"]
    assert container_of(redis)["image"] == theirs["image"]
    ping = container_of(redis)["readinessProbe"]["exec"]["command"][-1]
    assert ping == theirs["healthcheck"]["test"][1].replace("$$", "$")
    (files,) = [each for each in PLAIN if name_of(each) == "ConfigMap/redis"]
    for line in ("appendonly yes", "appendfsync always", "maxmemory-policy noeviction"):
        assert line in files["data"]["redis.conf"].splitlines()


@pytest.mark.parametrize("workload", PROCESSES)
def test_every_setting_is_one_that_is_read(workload: Object) -> None:
    """A setting whose name is misspelt would be ignored without a word."""
    read = "".join(
        file.read_text()
        for package in ("envelopes", "orchestrator", "workers")
        for file in (ROOT / package).rglob("*.py")
    )
    settings = [each["data"] for each in (*EXAMPLE, *PLAIN) if "BUCKSTOP" in str(each.get("data"))]
    given = {name for data in settings for name in data if name.startswith("BUCKSTOP_")}
    given |= {each["name"] for each in container_of(workload)["env"]}
    for name in given:
        assert re.search(rf"[\"']{name}[\"']", read), f"nothing reads {name}"


@pytest.mark.parametrize("workload", PROCESSES)
def test_each_process_finds_redis_with_its_own_user_and_no_other_password(workload: Object) -> None:
    """Each process has its own user, with the rights that it needs."""
    environ = {each["name"]: each["value"] for each in container_of(workload)["env"]}
    user = re.match(r"redis://(\w+)@redis:6379/0", environ["BUCKSTOP_URL"])
    assert user is not None
    assert user[1] in acl.rules()
    assert with_password(environ["BUCKSTOP_URL"], "x") == f"redis://{user[1]}:x@redis:6379/0"
    found = [each["key"] for each in walk(pod_of(workload)["volumes"]) if "key" in each]
    assert [key for key in found if key.startswith("redis_")] == [f"redis_{user[1]}"]
    assert environ["BUCKSTOP_PASSWORD_FILE"] == f"/run/secrets/redis_{user[1]}"
    signs = "signing" in {each["name"] for each in pod_of(workload)["volumes"]}
    assert signs == (component_of(workload) == "orchestrator"), "nobody else can mint budget"


# --- safe, and stopped in time -------------------------------------------------------------------


@pytest.mark.parametrize("workload", WORKLOADS_OF_ALL)
def test_a_pod_has_no_more_than_it_needs(workload: Object) -> None:
    """Issue 5: «resource limits, non-root, read-only file systems»."""
    pod, container = pod_of(workload), container_of(workload)
    assert pod["securityContext"]["runAsNonRoot"]
    assert pod["securityContext"]["runAsUser"] > 0
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert not pod["automountServiceAccountToken"]
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert container["resources"]["limits"].keys() == {"cpu", "memory"}
    mounts = {each["mountPath"]: each.get("readOnly") for each in container["volumeMounts"]}
    assert {path for path, closed in mounts.items() if not closed} <= {"/tmp", "/data"}


@pytest.mark.parametrize("workload", WORKLOADS_OF_ALL)
def test_services_are_not_told_in_the_environment(workload: Object) -> None:
    """For a service called flower there would be FLOWER_PORT=tcp://..., which Flower reads."""
    assert pod_of(workload)["enableServiceLinks"] is False


@pytest.mark.parametrize("workload", PROCESSES)
def test_a_pod_is_killed_later_than_it_gives_up_by_itself(workload: Object) -> None:
    """Issue 5: «graceful stop longer than the drain»."""
    maps = [each["data"] for each in EXAMPLE if name_of(each) == "ConfigMap/settings"]
    grace_s = float(maps[0]["BUCKSTOP_GRACE"])
    before = container_of(workload).get("lifecycle", {}).get("preStop", {}).get("exec", {})
    pause_s = float(before["command"][-1]) if before else 0.0
    assert pod_of(workload)["terminationGracePeriodSeconds"] >= grace_s + pause_s + 10


def test_something_stays_while_nodes_are_drained() -> None:
    """Issue 5: «disruption budgets»; what there is one of is not taken away unasked."""
    for budget in of_kind(EXAMPLE, "PodDisruptionBudget"):
        (target,) = selected(EXAMPLE, budget["spec"]["selector"])
        replicas = target["spec"].get("replicas", 1)
        stays = budget["spec"].get(
            "minAvailable", replicas - budget["spec"].get("maxUnavailable", 0)
        )
        assert stays >= 1 or component_of(target) == "worker", name_of(budget)
    pairs = {component_of(e): e["spec"].get("replicas") for e in of_kind(PLAIN, "Deployment")}
    assert pairs["orchestrator"] == pairs["http"] == 2


def test_keda_may_count_and_nothing_else(fresh: Fresh) -> None:
    """deploy/redis/users.acl: how many messages wait for an agent, asked by a script."""
    count = """local kind = redis.call('type', KEYS[1]).ok
    local ask = { zset = 'zcard', set = 'scard', list = 'llen', hash = 'hlen', none = 'llen' }
    return redis.call(ask[kind], KEYS[1])"""
    queue, keys = Keys().queue("research"), Keys()
    fresh.client.lpush(queue, "a", "b")
    with acl.as_user(fresh, "keda") as url, Redis.from_url(url) as keda:
        assert keda.eval(count, 1, queue) == 2
        assert keda.eval(count, 1, Keys().queue("nobody")) == 0
        for command in (
            *(("LPUSH", queue, "x"), ("LRANGE", queue, 0, -1), ("LLEN", keys.submissions)),
            ("EVAL", "return redis.call('del', KEYS[1])", 1, queue),
        ):
            with pytest.raises(Exception, match=r"NOPERM|[Nn]o permissions|can't run"):
                keda.execute_command(*command)
