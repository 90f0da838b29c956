"""What real processes say: one JSON object per line, which task it is about, and no secret."""

import io
import json
import logging
import os
import pty
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from post_office import PostOffice
from receiver import receiving

from envelopes.lines import JsonLines, TextLines, about, start
from envelopes.trace import trace_of
from orchestrator.client import Buckstop
from orchestrator.settings import Settings
from orchestrator.tokens import Scope
from tests.fleet import Fleet
from tests.front import ROOT, Front
from tests.llm_server import KEY, ModelServer, completion
from tests.pages import block, commands
from tests.until import PATIENCE_S, until

GOAL, INPUT, ANSWER = "planted-goal-4711", "planted-input-4711", "planted-answer-4711"
HOOK = "/planted-path-4711"
TASK = {
    "goal": GOAL,
    "input": {"secret": INPUT},
    "budget": {"tokens": 20_000},
    "timeout": "10m",
    "until": {"kind": "plan_done"},
}


@pytest.fixture
def model() -> Iterator[ModelServer]:
    with ModelServer([]) as running:
        running.script[:] = [completion(ANSWER) for _ in range(20)]
        yield running


@pytest.fixture
def fleet(fresh, tmp_path, model, monkeypatch) -> Iterator[Fleet]:
    monkeypatch.setenv("MODEL_URL", model.url)
    fleet = Fleet(tmp_path, fresh.url, fresh.keys.prefix, "tests.logged_agents")
    try:
        yield fleet
    finally:
        fleet.stop()


@pytest.fixture
def buckstop(fresh) -> Iterator[Buckstop]:
    with Buckstop(settings=Settings(fresh.url, "the test", fresh.keys.prefix)) as client:
        yield client


def worker(fleet: Fleet, name: str) -> None:
    """Start a worker with children, of which Celery says all that it says at info."""
    celery = ["celery", "-A", "workers.app", "worker", "-n", f"{name}@%h", "-l", "info"]
    fleet._start(name, [*celery, "-P", "prefork", "-c", "2"])


def lines_of(text: str) -> list[dict[str, Any]]:
    """Parse every line; whatever is no JSON object fails here."""
    lines = [json.loads(line) for line in text.splitlines()]
    assert all(isinstance(line, dict) for line in lines)
    assert all({"at", "level", "log", "said", "pid"} <= line.keys() for line in lines)
    return lines


def call(front: Front, token: str) -> str:
    request = urllib.request.Request(
        f"http://127.0.0.1:{front.port}/v1/tasks",
        json.dumps({**TASK, "agent": "talker"}).encode(),
        {
            "Authorization": f"Bearer {token}",
            "Content-Type": "application/json",
            "traceparent": f"00-{'a' * 32}-{'b' * 16}-01",
        },
    )
    with urllib.request.urlopen(request, timeout=PATIENCE_S) as answer:
        return json.load(answer)["id"]


# --- JSON ----------------------------------------------------------------------------------------


@pytest.mark.timeout(600)
def test_every_line_of_every_process_is_json_and_holds_no_secret(  # noqa: PLR0917 - fixtures
    fresh, server, fleet, buckstop, model, tmp_path
) -> None:
    """Invariant 16: "every log line is one JSON object; no planted secret appears in logs"."""
    with (
        receiving() as receiver,
        Front(fresh.url, fresh.client, fresh.keys, tmp_path / "http.log") as front,
    ):
        token = front.new_token(None, Scope.READ, Scope.SUBMIT)
        PostOffice(fresh).hook(receiver.url(HOOK))
        fleet.orchestrator("o")
        worker(fleet, "w")
        fleet._start("courier", ["orchestrator.courier"])
        asked = call(front, token)
        assert buckstop.task(asked).result(PATIENCE_S).outcome == "completed"
        failed = buckstop.submit(TASK, agent="thrower", at_cap="abort", replans_max=0)
        assert failed.result(PATIENCE_S).outcome == "aborted"
        receiver.wait_for(1)
        server.kill()
        server.restart()
        again = buckstop.submit(TASK, agent="talker")
        assert again.result(PATIENCE_S).outcome == "completed"
        for name in ("w", "o", "courier"):
            fleet.running[name].terminate()
            assert fleet.running[name].wait(PATIENCE_S) == 0
        front.process.terminate()
        front.process.wait(PATIENCE_S)
    said = {name: fleet.log(name) for name in ("w", "o", "courier")}
    said["http"] = front.log.read_text()
    lines = {name: lines_of(text) for name, text in said.items()}
    assert all(lines.values()), "each of them has said something"
    _says_which_task(lines, asked, failed.id)
    password = fresh.url.split(":")[2].partition("@")[0]
    key = (tmp_path / "signing.key").read_text().strip()
    planted = (GOAL, INPUT, ANSWER, "sk-planted-key", KEY, HOOK, token, password, key)
    for name, text in said.items():
        assert not [each for each in planted if each in text], name


def _says_which_task(lines: dict[str, list[dict[str, Any]]], asked: str, failed: str) -> None:
    """Look for the task in the lines of each process."""
    by = {line["said"].split("\n")[0]: line for line in lines["w"] if line.get("task") == asked}
    for said in ("said by the context", "said by a library", "said by print", "a subtask ended"):
        where = by[said]
        assert (where["subtask"], where["agent"], where["hop"]) == (f"{asked}/1", "talker", 1)
        assert where["trace_id"] == "a" * 32
    raised = [line for line in lines["w"] if line["said"] == "an agent raised"]
    assert {line["task"] for line in raised} == {failed}
    assert "it went wrong" in raised[0]["trace"]
    assert [line for line in lines["w"] if line["said"] == "a thread has died"]
    decided = [line for line in lines["o"] if line["said"] == "decided"]
    assert {line["trace_id"] for line in decided if line["task"] == asked} == {"a" * 32}
    assert {line["trace_id"] for line in decided if line["task"] == failed} == {trace_of(failed)}
    answered = [line for line in lines["http"] if line["said"] == "answered"]
    assert [line["trace_id"] for line in answered if line["method"] == "POST"] == ["a" * 32]


def test_what_kills_a_process_is_one_line_too(tmp_path) -> None:
    """A trace over many lines is nothing that a collector of JSON can read."""
    code = "from orchestrator import log\nlog.start(process='p')\nraise ValueError('two\\nlines')"
    run = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert run.returncode == 1
    (line,) = lines_of(run.stderr)
    assert (line["level"], line["process"]) == ("critical", "p")
    assert line["error"] == "ValueError('two\\nlines')"


# --- text ----------------------------------------------------------------------------------------


def at_a_terminal(**environ: str) -> str:
    """Return what a process says on a terminal of its own."""
    code = (
        "import logging; from orchestrator import log; log.start(process='p')\n"
        "logging.getLogger('buckstop.x').info('said\\nso', extra={'task': '7f', 'why': {'a': 1}})"
    )
    ours, theirs = pty.openpty()
    named = {name: value for name, value in os.environ.items() if name != "BUCKSTOP_LOG"}
    subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, stderr=theirs, check=True, env=named | environ
    )
    os.close(theirs)
    with os.fdopen(ours, "rb", buffering=0) as terminal:
        return terminal.read(10_000).decode().replace("\r\n", "\n")


def test_on_a_terminal_a_line_is_for_reading() -> None:
    """Readable text on a terminal, JSON everywhere else or where BUCKSTOP_LOG says so."""
    line = at_a_terminal()
    assert line.endswith('info    buckstop.x: said so  task=7f why={"a": 1}\n')
    assert json.loads(at_a_terminal(BUCKSTOP_LOG="json"))["task"] == "7f"


@pytest.mark.parametrize(
    ("asked", "kind"), [("", JsonLines), ("json", JsonLines), ("text", TextLines)]
)
def test_into_a_file_it_is_json_unless_text_is_asked_for(asked: str, kind: type) -> None:
    root = logging.getLogger()
    before, level, hooks = root.handlers[:], root.level, (sys.excepthook, logging.root)
    try:
        start(logging.INFO, io.StringIO(), {}, {"BUCKSTOP_LOG": asked})
        assert type(root.handlers[0].formatter) is kind
    finally:
        root.handlers[:] = before
        root.setLevel(level)
        logging.captureWarnings(capture=False)
        sys.excepthook = hooks[0]


def test_what_is_said_inside_says_what_it_is_about() -> None:
    """Whoever says it: a library knows nothing of subtasks."""
    record = logging.makeLogRecord({"msg": "hm", "levelname": "INFO"})
    with about({"task": "t"}):
        assert JsonLines().fields(record)["task"] == "t"
        own = logging.makeLogRecord({"msg": "hm", "task": "its own"})
        assert JsonLines().fields(own)["task"] == "its own"
    assert "task" not in JsonLines().fields(record)


# --- docs/how-to/logs.md -------------------------------------------------------------------------

PAGE = "docs/how-to/logs.md"


def test_the_pages_line_has_what_lines_have() -> None:
    (line,) = lines_of(block(PAGE, '{"at"'))
    page = (ROOT / PAGE).read_text()
    unexplained = {"status", "ms"}
    assert not [name for name in line.keys() - unexplained if f"`{name}`" not in page]
    assert json.loads(JsonLines(process="worker").format(logging.makeLogRecord({}))).keys() <= (
        line.keys()
    )


def test_the_pages_serve_writes_text(fresh, fleet, tmp_path) -> None:
    (command,) = commands(block(PAGE, "$ BUCKSTOP_LOG=text"))
    with (tmp_path / "serve.log").open("wb") as log:
        serve = subprocess.Popen(
            ["sh", "-c", f"exec env {command}"],
            cwd=tmp_path,
            env={**fleet._env, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"},
            stderr=log,
            stdin=subprocess.DEVNULL,
        )
    try:
        line = "info    buckstop.serve: serving"
        until("its line", lambda: line in (tmp_path / "serve.log").read_text())
    finally:
        serve.terminate()
        serve.wait(PATIENCE_S)


def test_the_pages_search_finds_a_tasks_lines_in_order(tmp_path) -> None:
    logs = tmp_path / ".buckstop" / "log"
    logs.mkdir(parents=True)
    line = block(PAGE, '{"at"')
    (logs / "worker-1.log").write_text(line.replace("3f0c9a51d2", "another") + line)
    (logs / "orchestrator-1.log").write_text(line.replace("04:05:06", "04:05:05"))
    (command,) = commands(block(PAGE, "$ cat .buckstop/log"))
    found = subprocess.run(
        ["sh", "-c", command], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert found.stdout == line.replace("04:05:06", "04:05:05") + line
