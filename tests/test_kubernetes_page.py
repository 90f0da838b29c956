"""docs/how-to/kubernetes.md as a reader follows it, up to the cluster."""

import re
import shlex
from pathlib import Path

import jsonschema
import pytest
import yaml

from envelopes.keys import Keys
from orchestrator.http.figures import AGENTS
from tests.keda import TRIGGER
from tests.kubectl import Shop
from tests.kustomize import compose, name_of
from tests.pages import ROOT, block

EXAMPLE = compose(ROOT / "deploy" / "kubernetes" / "example")
START = block("docs/how-to/kubernetes.md", "$ kubectl apply -k")
GROUP = block("docs/how-to/kubernetes.md", "apiVersion: kustomize")
TRIGGERS = block("docs/how-to/kubernetes.md", "triggers:")
FORWARD = block("docs/how-to/kubernetes.md", "$ kubectl -n buckstop port-forward deployment/flower")


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    return Shop(tmp_path)


def test_what_the_page_says_can_be_pasted(shop: Shop) -> None:
    """Every file that a command names is there, and so is every object that it speaks of."""
    made = shop.secrets()
    assert shop.secrets() == made, "what is there is kept"
    assert made["redis"] >= {f"redis_{user}" for user in ("admin", "front", "worker", "keda")}
    there = {name_of(each).lower() for each in EXAMPLE}
    for told in [*shop.run(START), *shop.run(FORWARD)]:
        spoken = [word for word in told if re.match(r"(deployment|service)/", word)]
        assert set(spoken) <= there, shlex.join(told)


def test_the_group_on_the_page_composes(shop: Shop) -> None:
    """A group of agents is a directory like example/research."""
    here = shop.folder / "deploy" / "kubernetes" / "example" / "legal"
    here.mkdir()
    (here / "kustomization.yaml").write_text(GROUP)
    made = {each["kind"]: each for each in compose(here)}
    assert made["Deployment"]["metadata"]["name"] == "worker-legal"
    assert made["ScaledObject"]["spec"]["scaleTargetRef"]["name"] == "worker-legal"
    assert made["ScaledObject"]["spec"]["triggers"][0]["metadata"]["listName"] == Keys().queue(
        "legal"
    )
    assert made["ConfigMap"]["data"]["BUCKSTOP_AGENTS"] == "my_agents"


def test_the_metric_on_the_page_is_one_of_ours() -> None:
    """Or scale on Buckstop's own metrics, which add lanes up."""
    (trigger,) = yaml.safe_load(TRIGGERS)["triggers"]
    jsonschema.validate(trigger, TRIGGER)
    name, agent = re.search(
        r'buckstop_(\w+)\{agent="(\w+)"\}', trigger["metadata"]["query"]
    ).groups()
    assert "agent" in next(each.labels for each in AGENTS if each.name == name)
    assert agent == "research"
