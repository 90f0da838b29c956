"""docs/how-to/docker.md as somebody follows it: its own text is run, on the deployment under test.

Runs last, for it ends with taking the deployment down. What differs from a reader's machine is
where secrets lie, which port is free, and what the agents are called.
"""

import json
import shutil
from pathlib import Path

from tests.compose.engine import IMAGE, ROOT, Deployment, over, until
from tests.pages import block

PAGE = "docs/how-to/docker.md"


def given(deployment: Deployment, beginning: str) -> str:
    """Give the commands of a block, as a shell does, and return what they print."""
    text = block(PAGE, beginning).replace("$ ", "", 1).replace("\n$ ", "\n")
    text = text.replace("make-secrets.sh", f"make-secrets.sh {deployment.secrets}")
    text = text.replace(":8780", f":{deployment.port}").replace("my_agents", "naps")
    return deployment.run("sh", "-ec", text)


def test_the_first_commands_start_it_and_log_somebody_in(deployed: Deployment) -> None:
    """The issue: "each of the four things must work from the README with copied commands"."""
    before = {path: path.read_text() for path in deployed.secrets.iterdir()}
    given(deployed, "$ sh deploy/make-secrets.sh")
    assert {path: path.read_text() for path in before} == before
    said = given(deployed, "$ docker compose exec http buckstop console")
    assert f"http://localhost:{deployed.port}" in said


def test_a_task_is_submitted_with_curl(deployed: Deployment) -> None:
    """The page: "This asks one of them, with a token of its own"."""
    task = json.loads(given(deployed, "$ TOKEN=$(docker compose"))["id"]
    [ended] = deployed.results([task])
    assert ended["goal"] == "Compare three vendors"


def test_workers_get_other_agents_and_grow_without_a_restart(deployed: Deployment) -> None:
    """The page: "Nothing else is restarted"."""
    given(deployed, "$ BUCKSTOP_AGENTS=my_agents docker compose up")
    others = deployed.started("redis", "orchestrator", "http", "courier", "flower")
    given(deployed, "$ docker compose up -d --no-recreate --scale worker=4")
    until("four are there", lambda: deployed.containers("worker"), lambda all_: len(all_) == 4)
    assert deployed.started("redis", "orchestrator", "http", "courier", "flower") == others
    [task] = deployed.submit(1, 0.1)
    assert until("it runs", lambda: deployed.task(task), over)["state"] == "completed"


def test_an_image_of_ones_own_has_what_agents_import(deployed: Deployment, tmp_path: Path) -> None:
    """The page: "What they import beyond Buckstop belongs into an image of your own"."""
    page = (ROOT / PAGE).read_text()
    recipe = page[page.index("FROM buckstop") :].partition("```")[0]
    recipe = recipe.replace("FROM buckstop", f"FROM {IMAGE}").replace("langgraph", "tomli-w")
    (tmp_path / "Dockerfile").write_text(recipe)
    mine = f"{IMAGE}-mine"
    deployed.run("docker", "build", "--quiet", "--tag", mine, str(tmp_path))
    alone = ("docker", "run", "--rm", "--network=none", mine)
    deployed.run(*alone, "python", "-c", "import tomli_w, workers")
    assert deployed.run(*alone, "id", "-u") == "10001"


def test_another_group_of_agents_is_another_service(deployed: Deployment, tmp_path: Path) -> None:
    """The page: "is another service like `worker`"; docker compose reads it so."""
    shutil.copy(ROOT / "docker-compose.yml", tmp_path)
    more = tmp_path / "docker-compose.override.yml"
    more.write_text(block(PAGE, "# docker-compose.override.yml"))
    files = ("-f", str(tmp_path / "docker-compose.yml"), "-f", str(more))
    made = json.loads(deployed.run("docker", "compose", *files, "config", "--format", "json"))
    writers, worker = made["services"]["writers"], made["services"]["worker"]
    assert writers["environment"].pop("BUCKSTOP_AGENTS") == "my_writers"
    assert writers["environment"].items() < worker["environment"].items()
    assert writers["read_only"]


def test_it_can_be_watched_and_stopped(deployed: Deployment) -> None:
    """The doctor finds nothing to do on a deployment that was started as the page says."""
    said = given(deployed, "$ docker compose ps")
    assert "orchestrator" in said
    given(deployed, "$ docker compose down")
    assert not deployed.containers("http")
