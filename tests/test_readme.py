"""The README as a newcomer follows it: its own text is run."""

import json
import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from orchestrator.cli.commands import COMMANDS
from orchestrator.client import Buckstop
from orchestrator.running import Running
from tests import pages
from tests.llm_server import KEY, ModelServer, completion, wants
from tests.openai_server import Calls, OpenAIServer, Says
from tests.pages import commands
from tests.reader import sh
from tests.until import PATIENCE_S, until

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
BUCKSTOP = Path(sys.executable).parent / "buckstop"
pytestmark = pytest.mark.timeout(400)  # each command is a process, and each page a deployment


def block(beginning: str) -> str:
    """Return the code block of the README that begins so."""
    return pages.block("README.md", beginning)


@contextmanager
def started(module: str, folder: Path) -> Iterator[Path]:
    """Sit in an empty directory with a module of the README, and `buckstop up` beside it."""
    (folder / f"{module}.py").write_text(block(f"# {module}.py"))
    with (folder / "up.log").open("wb") as log:
        up = subprocess.Popen([BUCKSTOP, "up", module], cwd=folder, stdout=log, stderr=log)
    try:
        said = until(
            "it is ready", (folder / "up.log").read_text, good=lambda said: _over(up, said)
        )
        assert "console: " in said, said
        yield folder
    finally:
        up.send_signal(signal.SIGINT)
        code = up.wait(2 * PATIENCE_S)
    assert code == 0, "one Ctrl-C stops all"


def _over(up: subprocess.Popen[bytes], said: str) -> bool:
    """Say whether there is nothing to wait for any more: it is ready, or has given up."""
    return "console: " in said or up.poll() is not None


@pytest.fixture(scope="module")
def newcomer(tmp_path_factory):
    """Follow the first pages, and go on with what they have started."""
    place = tmp_path_factory.mktemp("newcomer")
    (place / "task.yaml").write_text(block("# task.yaml"))
    with pytest.MonkeyPatch.context() as patched:
        patched.delenv("BUCKSTOP_URL", raising=False)
        with started("my_agents", place) as folder:
            yield folder


@pytest.fixture
def team(tmp_path, monkeypatch):
    """Follow the pages on the three patterns."""
    monkeypatch.delenv("BUCKSTOP_URL", raising=False)
    with started("team", tmp_path) as folder:
        yield folder


VERDICT = {"ok": True, "confidence": 0.75, "reason": "it says how many"}


@pytest.fixture
def llm_agents(tmp_path, monkeypatch):
    """Follow the page on LLM agents, beside a model server."""
    monkeypatch.delenv("BUCKSTOP_URL", raising=False)
    with ModelServer([]) as server:
        server.script += [
            wants(("sightings", {"year": 2026})),
            completion("2026 was a year of 42 otters"),
            completion(json.dumps(VERDICT)),
        ]
        monkeypatch.setenv("OPENAI_BASE_URL", server.url)
        monkeypatch.setenv("OPENAI_API_KEY", KEY)
        with started("llm_agents", tmp_path) as folder:
            yield folder, server


MY_TEAM = """
import os

from tests import adapted

url = os.environ["OPENAI_BASE_URL"]
researcher = adapted.pydantic_agent(url)
helper = adapted.sdk_agent()
graph = adapted.graph_of(adapted.OpenAIChat(url=url, max_retries=0))


def translate(prompt):
    return prompt.upper()
"""
TAKEN_IN = ("research", "help", "review", "translate")


@pytest.fixture
def taken_in(tmp_path, monkeypatch):
    """Follow the page on adapters, with an agent of each framework at hand."""
    monkeypatch.delenv("BUCKSTOP_URL", raising=False)
    (tmp_path / "my_team.py").write_text(MY_TEAM)
    script = [
        answer
        for name in TAKEN_IN[:-1]
        for answer in (Calls("look_up", {"what": name}), Says(f"{name} says 42"))
    ]
    with OpenAIServer(*script) as server:
        monkeypatch.setenv("OPENAI_BASE_URL", server.url)
        monkeypatch.setenv("OPENAI_API_KEY", KEY)
        monkeypatch.setenv("PYTHONPATH", str(ROOT))
        with started("taken_in", tmp_path) as folder:
            yield folder


def run(command: list[object], folder: Path) -> str:
    done = subprocess.run(
        command, cwd=folder, capture_output=True, text=True, timeout=90, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_first_agents_run_as_pasted(newcomer):
    """README: Your first agent."""
    out = run([BUCKSTOP, "submit", "task.yaml", "--wait"], newcomer)
    assert "completed" in out
    assert "THE OTTERS OF THE ELBE" in out
    task_id = out.split()[0]
    shown = run([BUCKSTOP, "show", task_id[:4]], newcomer)
    assert "plan_done" in shown


def test_the_three_patterns_run_as_pasted(team):
    """README: Three patterns."""
    lines = block('$ buckstop submit --goal "otters" --planner').splitlines()
    planned, managed, handed, _letters, decided = (
        [BUCKSTOP, *shlex.split(line, comments=True)[2:]] for line in lines
    )
    assert "otters are back" in run(planned, team)
    assert "otters are back and they eat fish" in run(managed, team)
    task_id = run(handed, team).split()[0]
    letter = asked(team)[: len(task_id) // 2]
    assert "waits     for a person" in run([BUCKSTOP, "show", task_id], team)
    run([letter if word == "LETTER" else word for word in decided], team)
    shown = run([BUCKSTOP, "show", task_id, "--json"], team)
    while json.loads(shown)["state"] != "completed":
        shown = run([BUCKSTOP, "show", task_id, "--json"], team)
    assert json.loads(shown)["result"] == {"invoices of": "2026"}


def test_the_llm_agents_run_as_pasted(llm_agents):
    """README: LLM agents."""
    folder, server = llm_agents
    [line] = [each for each in README.splitlines() if "--agent draft --validator judge" in each]
    out = run([BUCKSTOP, *shlex.split(line)[2:]], folder)
    assert "2026 was a year of 42 otters" in out
    assert "confidence 0.75" in out, "the judge's verdict bounds it"
    assert "2026: 42 otters" in str(server.seen[1].body), "the tool was called"
    assert server.script == []


def test_agents_of_other_frameworks_are_taken_in_as_pasted(taken_in):
    """README: Agents you already have."""
    plan = [
        {"id": name, "agent": name, "needs": [need] if need else []}
        for name, need in zip(TAKEN_IN, (None, *TAKEN_IN), strict=False)
    ]
    (taken_in / "plan.json").write_text(json.dumps(plan))
    bounds = "--tokens 200000 --usd 1 --timeout 1m --until plan_done --goal otters"
    out = run(
        [BUCKSTOP, "submit", "--plan", "plan.json", *bounds.split(), "--wait", "--json"], taken_in
    )
    ended = json.loads(out)
    assert ended["outcome"] == "completed"
    assert "REVIEW SAYS 42" in str(ended["result"])
    assert ended["ledger"]["spent"]["calls"] == 7, "two for each framework, one for the function"


def test_a_task_comes_in_by_every_way_as_pasted(newcomer):
    """README: Five ways in. Node's is run by `make node`."""
    [request] = commands(block('$ echo \'{"goal"'))
    sh([request], newcomer)
    [waiting] = commands(block("$ buckstop submit otters.json"))
    assert "completed" in sh([waiting], newcomer)
    assert "otters" in run([sys.executable, "-c", block("from orchestrator.client")], newcomer)
    (newcomer / "celery_client.py").write_text(block("# celery_client.py"))
    [sending] = commands(block("$ python celery_client.py"))
    task = sh([sending], newcomer).strip()
    with Buckstop(Running.read(newcomer / ".buckstop").url) as buckstop:
        assert buckstop.task(task).result(timeout=60).outcome == "completed"


def test_other_services_submit_and_follow_as_pasted(newcomer):
    """README: Five ways in, and Over HTTP."""
    sh(commands(block('$ echo \'{"goal"')), newcomer)
    up = Running.read(newcomer / ".buckstop")
    making, submitting = commands(block("$ TOKEN="))
    [following] = commands(block("$ curl -sN localhost:8780/v1/tasks/ID/events"))
    submitting, following = (
        line.replace("localhost:8780", up.console.removeprefix("http://"))
        for line in (submitting, following)
    )
    submitting = submitting.replace(
        "@otters.json", shlex.quote((newcomer / "otters.json").read_text())
    )
    token = sh([making.split("$(")[1].removesuffix(")")], newcomer).splitlines()[-1]
    first, again = (curl(submitting, token).json() for _ in range(2))
    assert first["id"] == again["id"], "the same order submits once"
    told = curl(following.replace("ID", first["id"]), token).text
    assert "event: end" in told
    assert '"plan_done"' in told


def test_hooks_are_made_as_pasted(newcomer):
    """README: The desk, to be told."""
    for line in block("$ buckstop hooks new webhook").splitlines():
        words = shlex.split(line)[2:]
        place = next(n for n, word in enumerate(words) if "://" in word)
        if words[2] == "webhook":  # nobody resolves names here
            words[place : place + 1] = ["http://127.0.0.1:9/", "--allow-private"]
        assert "buckstop hooks test" in run([BUCKSTOP, *words], newcomer)
    assert "letter.filed" in run([BUCKSTOP, "hooks", "list"], newcomer)


def curl(line: str, token: str) -> httpx.Response:
    """Do what curl would; not every machine has it."""
    words = shlex.split(line.replace("$TOKEN", token))[2:]
    given = {flag: [] for flag in ("-H", "-d")}
    plain = [word for word in words if not word.startswith("-s")]
    for flag, value in zip(plain[1::2], plain[2::2], strict=True):
        given[flag].append(value)
    headers = dict(each.split(": ", 1) for each in given["-H"])
    method = "POST" if given["-d"] else "GET"
    body = "".join(given["-d"]) or None
    return httpx.request(method, f"http://{plain[0]}", headers=headers, content=body, timeout=60)


def asked(folder: Path) -> str:
    """Wait until somebody asks a person something, and return the letter's id."""
    ask = [BUCKSTOP, "letters", "--json"]
    letters = until("somebody asks", lambda: json.loads(run(ask, folder)))
    return str(letters[0]["id"])


def test_every_command_of_the_cli_stands_in_the_readme():
    """README: On the command line."""
    table = README.split("## On the command line")[1]
    shown = set(re.findall(r"`(?:buckstop )?([a-z]+)[^`]*`", table))
    assert set(COMMANDS) <= shown
