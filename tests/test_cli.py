"""The command line, as a person and as a script meets it: what it says, and its exit codes."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import click
import pytest

from orchestrator.cli.commands import COMMANDS, buckstop
from orchestrator.cli.exits import MEANING, Exit
from orchestrator.cli.submit import finish_line
from orchestrator.embedded import EmbeddedServer
from orchestrator.running import DIRECTORY, Running
from orchestrator.store import LetterClosed, LetterFiled, Store, Submission
from tests.conftest import Fresh
from tests.hands import Hand
from tests.typed import Run, environ, typed
from tests.typed import started as call
from tests.until import PATIENCE_S, until
from tests.worlds import commit

ROOT = Path(__file__).parent.parent
HELLO = ["--goal", "say hello", "--agent", "greet", "--tokens", "1000", "--timeout", "1m"]
DONE = ["--until", "plan_done"]
AGENTS = """
from workers import Envelope, agent

@agent("greet")
def greet(ctx, goal):
    ctx.meter.charge(tokens=7)
    return Envelope.success({"said": goal}, 0.9)
"""


@pytest.fixture
def run(tmp_path: Path, fresh: Fresh) -> Run:
    """Type a command at the emptied server, in a directory of its own."""
    prefix = {"BUCKSTOP_URL": fresh.url, "BUCKSTOP_PREFIX": fresh.keys.prefix}
    return lambda *arguments, **more: typed(tmp_path, *arguments, **{**prefix, **more})


# --- help, exit codes, errors --------------------------------------------------------------------


def test_help_imports_nothing_slow() -> None:
    """No dependency of `--help` on slow imports."""
    slow = ["redis", "pydantic", "celery", "rich", "yaml", "cryptography"]
    code = (
        "import sys\nfrom orchestrator.cli.commands import buckstop\n"
        "buckstop.main(['--help'], standalone_mode=False)\n"
        f"print('slow:', [name for name in {slow!r} if name in sys.modules])\n"
    )
    said = subprocess.run(
        [sys.executable, "-c", code], env=environ(), capture_output=True, text=True, check=True
    )
    assert said.stdout.endswith("slow: []\n")


def test_help_names_every_command_and_every_exit_code(tmp_path: Path) -> None:
    """Documented exit codes, in `buckstop --help`."""
    said = call(tmp_path, "--help").out
    for name in COMMANDS:
        assert re.search(rf"^  {name} ", said, re.MULTILINE)
    assert MEANING.keys() == set(Exit)
    for code in Exit:
        assert re.search(rf"^  {code.value} +\w", said, re.MULTILINE)


def commands_of(command: click.Command) -> list[click.Command]:
    """Return what can be said: a command, or those of a group."""
    if not isinstance(command, click.Group):
        return [command]
    return [one for each in command.commands.values() for one in commands_of(each)]


@pytest.mark.parametrize("name", [name for name in COMMANDS if name not in {"simulate", "demo"}])
def test_every_command_takes_json_and_explains_itself(name: str) -> None:
    """`--json` on every command."""
    command = buckstop.get_command(click.Context(buckstop), name)
    assert command is not None
    for each in commands_of(command):
        assert "--json" in {text for param in each.params for text in param.opts}, each.name
    assert command.help
    silent = [o.opts for o in command.params if isinstance(o, click.Option) and not o.help]
    assert silent == []


def test_whoever_mistypes_is_told_what_is_meant(tmp_path: Path) -> None:
    """Helpful errors: the nearest command, the module as for import, a whole example."""
    (tmp_path / "my_agents.py").touch()
    for words, meant in (
        (["sumbit"], "No such command 'sumbit'. Did you mean 'submit'?"),
        (["frobnicate"], "buckstop --help"),
        (["up", "my_agents.py"], "write it as for import: my_agents"),
        (["up", "-c", "0"], "is not in the range x>=1"),
        (["submit"], "--goal"),
        ([*_BOUND, "--until", "confidence"], "such as confidence=0.85"),
        ([*_BOUND, "--until", "rounds=many"], "such as rounds=6"),
    ):
        said = typed(tmp_path, *words, BUCKSTOP_URL="redis://127.0.0.1:1/0")
        assert (said.code, meant in said.err) == (Exit.REFUSED, True), said


_BOUND = ["submit", *HELLO]


def test_a_timeout_may_be_a_number_of_seconds(run: Run) -> None:
    """The message of a timeout that is none says so: "a number of seconds, or text"."""
    task = run("submit", *HELLO[:-1], "90", *DONE, "--json").json["task"]
    shown = run("show", task, "--json").json
    assert shown["deadline_ms"] - shown["accepted_ms"] == 90_000


def test_without_a_server_it_says_how_to_get_one(tmp_path: Path) -> None:
    """Helpful errors: what happened, why, what to do next."""
    said = call(tmp_path, "tasks")
    assert said.code == Exit.NO_SERVER
    assert "buckstop up" in said.err
    assert "BUCKSTOP_URL" in said.err
    assert "Traceback" not in said.err


def test_an_unreachable_server_is_told_apart_from_a_missing_one(tmp_path: Path) -> None:
    """Exit code 3, and nothing is said to be lost."""
    said = typed(tmp_path, "tasks", "--url", "redis://127.0.0.1:1/0")
    assert said.code == Exit.NO_SERVER
    assert "cannot be reached" in said.err


def test_a_password_that_is_missing_or_wrong_is_told_so(tmp_path: Path, fresh: Fresh) -> None:
    """Helpful errors: not what one library told another about HELLO."""
    where = fresh.url.rpartition("@")[2]
    said = typed(tmp_path, "tasks", "--url", f"redis://{where}")
    assert (said.code, "wants a password, and the URL names none" in said.err) == (3, True)
    said = typed(tmp_path, "tasks", "--url", f"redis://:wrong@{where}")
    assert (said.code, "turns us away" in said.err) == (3, True)


def test_an_unfit_server_is_refused_with_its_fix(run: Run, fresh: Fresh) -> None:
    """Start-up checks: clear refusal with the fix named, for people and for programs."""
    fresh.client.config_set("maxmemory-policy", "allkeys-lru")
    fix = "CONFIG SET maxmemory-policy noeviction"
    for command in (["submit", *HELLO, *DONE], ["up"]):
        said = run(*command)
        assert said.code == Exit.NO_SERVER
        assert fix in said.err
    said = run("submit", *HELLO, *DONE, "--json")
    assert json.loads(said.err)["checks"] == [{"check": "maxmemory-policy", "fix": fix}]
    said = run("check", "--json")
    assert said.code == Exit.NO_SERVER
    assert {one["check"] for one in said.json if one["verdict"] == "refused"} == {
        "maxmemory-policy"
    }


def test_a_wrong_setting_is_a_refusal_and_names_the_variable(run: Run) -> None:
    """Exit code 2: it is not the server that is wrong."""
    for name, value, command in (
        ("BUCKSTOP_URL", "localhost", "tasks"),
        ("BUCKSTOP_GRACE", "soon", "tasks"),
        ("BUCKSTOP_SIGNING_KEY", "short", "serve"),
    ):
        said = run(command, **{name: value})
        assert said.code == Exit.REFUSED
        assert name in said.err
    said = run("serve")
    assert said.code == Exit.REFUSED
    assert "buckstop keys" in said.err


def test_a_worker_that_cannot_start_is_a_refusal_too(tmp_path: Path) -> None:
    """The exit codes are those of `buckstop --help`, though the process is Celery's by then."""
    said = call(tmp_path, "worker", "json", BUCKSTOP_URL="redis://127.0.0.1:1/0")
    assert (said.code, "buckstop keys" in said.err) == (Exit.REFUSED, True)


def test_a_port_that_is_taken_is_refused_before_anything_starts(tmp_path: Path) -> None:
    """Else the console's link would lead to whoever has the port."""
    with socket.create_server(("127.0.0.1", 0)) as somebody:
        port = somebody.getsockname()[1]
        said = call(tmp_path, "up", "--port", str(port))
    assert said.code == Exit.REFUSED
    assert f"port {port} is taken; name another" in said.err
    assert not (tmp_path / DIRECTORY).exists()


def test_up_beside_another_says_at_once_who_runs_here_and_how_to_stop_it(tmp_path: Path) -> None:
    """Two servers never share a directory, and why is said before a word about ports."""
    with EmbeddedServer(tmp_path / DIRECTORY) as running:
        said = call(tmp_path, "up", "--port", str(running.port))
    assert said.code == Exit.NO_SERVER
    assert said.err.startswith(f"buckstop: a server runs in {tmp_path / DIRECTORY} already")
    assert f"since {running.started}" in said.err
    assert said.err.endswith(f"stop it with Ctrl-C or: kill {os.getpid()}\n")
    assert said.out == ""


def test_a_name_that_nobody_has_is_told_at_once_and_the_task_is_submitted(
    run: Run, fresh: Fresh
) -> None:
    """Helpful errors: who is missing, who is meant, who there is, and how one is started."""
    hand = Hand(fresh.client, fresh.keys, "greet", "write")
    hand.claims.beat([], json.dumps({"agents": ["greet", "write"]}))
    misspelt = [*HELLO[:3], "gret", *HELLO[4:], "--validator", "judge", *DONE]
    said = run("submit", *misspelt)
    assert (said.code, len(said.out.splitlines())) == (0, 1)
    assert (
        "runs 'gret' (did you mean 'greet'?), 'judge'; there are: greet, write; start" in said.err
    )
    assert f"buckstop cancel {said.out[:8]}" in said.err
    told = run("submit", *misspelt, "--json").json["unstaffed"]
    assert (told["agents"], told["running"]) == (["gret", "judge"], ["greet", "write"])
    assert run("submit", *HELLO, *DONE).err.count("\n") == 1, "where all are run nothing is said"
    assert run("submit", *HELLO, *DONE, "--json").json["unstaffed"]["agents"] == []


def test_whoever_submits_to_nobody_is_told_how_to_start_one(run: Run) -> None:
    said = run("submit", *HELLO, *DONE)
    assert said.code == 0
    assert "runs 'greet'; no worker lives; start one with: buckstop up" in said.err


def test_a_missing_task_and_letter_are_not_found(run: Run) -> None:
    """Exit code 4."""
    for command in (["show", "nothing"], ["cancel", "nothing"], ["letters", "show", "nothing"]):
        said = run(*command)
        assert said.code == Exit.NOT_FOUND, said
        assert "buckstop tasks" in said.err or "buckstop letters" in said.err


# --- lists ---------------------------------------------------------------------------------------


def test_tasks_are_listed_by_state_and_tenant_and_page_by_page(run: Run, fresh: Fresh) -> None:
    """`buckstop tasks`: filtered, newest first, and how to see the rest is said."""
    acme = ("--tenant", "acme")
    ids = [run("submit", *HELLO, *DONE, *acme, "--json").json["task"] for _ in range(3)]
    escalated(fresh, 1)
    listed = lambda *flags: [each["id"] for each in run("tasks", "--json", *flags).json]  # noqa: E731 -- said often
    assert listed("--tenant", "acme", "--state", "open") == ids[::-1]
    assert listed("--tenant", "acme", "--state", "on_desk") == []
    assert listed("--tenant", "acme", "-n", "1", "--before", ids[1]) == ids[:1]
    said = run("tasks", "--tenant", "acme", "-n", "1")
    assert f"buckstop tasks --tenant acme --before {ids[2]}" in said.err
    assert "buckstop tasks" in run("tasks", "--state", "partial").out
    assert run("tasks", "--state", "asleep").code == Exit.REFUSED
    assert run("tasks", "--before", "nobody").code == Exit.NOT_FOUND


def test_what_an_operator_sets_is_answered_in_json(run: Run, fresh: Fresh) -> None:
    """The issue: "Each takes --json", subcommands too."""
    Hand(fresh.client, fresh.keys, "greet").claims.register({"greet": {}})
    store = Store(fresh.client, fresh.keys)
    assert run("agents", "cap", "greet", "3", "--json").json == {"agent": "greet", "cap": 3}
    assert run("agents", "cap", "greet", "none", "--json").json == {"agent": "greet", "cap": None}
    assert run("tenants", "cap", "acme", "7", "--json").json == {"tenant": "acme", "cap": 7}
    assert store.caps() == {"tenant:acme": 7}
    refused = run("agents", "reset", "greet", "--json")
    assert (refused.code, json.loads(refused.err)["exit"]) == (Exit.NOT_FOUND, Exit.NOT_FOUND)


def test_each_column_of_agents_stands_under_its_heading(run: Run, fresh: Fresh) -> None:
    """`buckstop agents`: agents with workers, skills, queue, what is in flight, breaker."""
    Hand(fresh.client, fresh.keys, "greet").claims.register({"greet": {"skills": ["hello"]}})
    heading, row = run("agents", "--all").out.splitlines()
    under = {
        name: row[heading.index(name) :].split()[0] for name in ("workers", "skills", "breaker")
    }
    assert under == {"workers": "none", "skills": "hello", "breaker": "closed"}


# --- the desk ------------------------------------------------------------------------------------


def escalated(fresh: Fresh, number: int, **about: Any) -> str:
    """Put a letter onto the desk, as an orchestrator does it."""
    store, task = Store(fresh.client, fresh.keys), f"t{number}"
    story = {
        "question": {"text": "which?", "choices": ["2025", "2026"]},
        "allowed": ["answer", "abort"],
        "if_nobody_decides": "abort",
        "goals": ["my invoices"],
        "spent": {"tokens": 12},
        "ceiling": {"tokens": 9000, "usd_micros": None, "calls": None},
        "kept": "half",
        "confidence": 0.4,
        "trail": [
            {"step": "only", "agent": "triage", "hop": 1, "status": "partial",
             "confidence": 0.4, "reason": "[red]unsure[/red]"},
        ],
        "verdicts": [],
    }  # fmt: skip
    store.submit(Submission(task, b"{}", {}, "default", None, 60_000, 3_600_000))
    facts = {"reason": "question", "agent": "triage", "step": "only", "hop": 1, **about}
    filed = LetterFiled(f"{task}.1", "question", "triage asks: \x1b[31mwhich?",
                        4_000_000_000_000, json.dumps(story).encode(), **facts)  # fmt: skip
    [done] = store.commit([commit(1, task, task, letter=filed)])
    assert done
    return filed.letter


def set_aside(fresh: Fresh, count: int) -> list[str]:
    """Let a worker set messages aside."""
    claims, queue = Hand(fresh.client, fresh.keys, "triage").claims, fresh.keys.queue("triage")
    said = ("unsigned", "forged", queue)
    return [claims.quarantine(*said, b"raw %d" % n, "not signed", None) for n in range(count)]


def test_letters_are_listed_by_what_they_are_about(run: Run, fresh: Fresh) -> None:
    """The issue: `buckstop letters` (filter by kind, agent, tenant, age, reason; grouped)."""
    asked = [escalated(fresh, 1), escalated(fresh, 2, reason="hop_cap", agent="write")]
    set_aside(fresh, 3)
    ids = lambda *flags: [each["id"] for each in run("letters", "--json", *flags).json]  # noqa: E731 -- said thrice
    assert ids("--kind", "question") == asked[::-1]
    assert ids("--agent", "triage", "--kind", "question") == asked[:1]
    assert ids("--tenant", "acme") == ids("--older", "1h") == []
    assert run("letters", "--group", "reason", "--json").json == {
        "unsigned": 3, "hop_cap": 1, "question": 1
    }  # fmt: skip
    said = run("letters", "--group", "kind")
    assert re.search(r"forged +3 *\n *question +2", said.out)
    said = run("letters", "-n", "1")
    assert "1 of 5 letters" in said.err
    assert run("letters", "--older", "soon").code == Exit.REFUSED


def test_a_letter_is_understood_at_a_glance(run: Run, fresh: Fresh) -> None:
    """Ten seconds for a person: the question and the decisions come first, hostile text is text."""
    letter = escalated(fresh, 1)
    said = run("letters", "show", letter).out
    lines = [line.strip() for line in said.splitlines()]
    assert lines[0].startswith("question, open")
    assert lines[1].startswith("triage asks: ")
    assert lines[3] == "choose: 2025 | 2026"
    assert re.match(r"decide until 2096-.*, then: abort", lines[4])
    assert lines[5].startswith(f"buckstop decide {letter} answer --answer TEXT")
    assert lines[6].startswith(f"buckstop decide {letter} abort")
    for told in ("goal      my invoices", "spent     12 tokens of 9,000 tokens", "0.40: half"):
        assert told in said
    assert "[red]unsure[/red]" in said
    assert "\x1b" not in said


def test_a_message_that_was_set_aside_is_shown_and_decided(run: Run, fresh: Fresh) -> None:
    """`replay` and `discard`."""
    [letter] = set_aside(fresh, 1)
    said = run("letters", "show", letter).out
    assert f"buckstop decide {letter} replay" in said
    assert re.search(r"decide until 20.*, then: discard", said)
    assert "raw 0" in said
    assert run("decide", letter, "discard", "--by", "ann", "--why", "spam").code == Exit.OK
    second = run("decide", letter, "replay")
    assert second.code == Exit.ENDED_BADLY
    assert second.out == f"{letter} was decided before: discard by ann: spam\n"
    assert re.search(
        r"decided: discard by ann, 20[^ ]+ [^ ]+: spam\n", run("letters", "show", letter).out
    )


def test_a_decided_letter_is_found_by_its_beginning(run: Run, fresh: Fresh) -> None:
    """The issue: "First one wins atomically, the second gets told who was first", by a short id."""
    store, letter = Store(fresh.client, fresh.keys), escalated(fresh, 12)
    closed = LetterClosed(letter, "answer", "ann", "it says so")
    [done] = store.commit([commit(2, "closing", "t12", letter_closed=closed)])
    assert done
    for beginning in ("t1", "t12.", letter):
        assert "decided: answer by ann" in run("letters", "show", beginning).out
    assert run("letters", "show", "t12.2").code == Exit.NOT_FOUND


@pytest.mark.parametrize(
    ("words", "flag"),
    [
        (("answer",), "--answer: "),
        (("amend",), "--result: "),
        (("reassign",), "--to: "),
        (("abort", "--hops", "3"), "--hops: "),
        (("abort", "--tokens", "3"), "--tokens, --usd, --calls: "),
    ],
)
def test_what_a_decision_lacks_is_named_as_it_is_written(
    run: Run, words: tuple[str, ...], flag: str
) -> None:
    """Every message says what to do next."""
    said = run("decide", "t1.1", *words)
    assert said.code == Exit.REFUSED
    assert f"buckstop: {flag}" in said.err


def test_many_letters_are_decided_alike_and_shown_before(run: Run, fresh: Fresh) -> None:
    """Bulk decisions by filter with a preview."""
    escalated(fresh, 1)
    set_aside(fresh, 7)
    these = ("--all", "--kind", "forged", "--reason", "unsigned")
    shown = run("decide", *these, "discard")
    assert shown.code == Exit.OK
    assert "discard would decide 7 letters" in shown.err
    assert shown.out.count("unsigned") == 5
    assert len(run("letters", "--json").json) == 8
    done = run("decide", *these, "discard", "--yes", "--why", "spam", "--json").json
    assert done == {"decided": 7, "before": 0, "refused": {}}
    assert len(run("letters", "--json").json) == 1
    assert run("decide", *these, "discard", "--yes").out.startswith("discard: 0 decided")


def test_a_filter_that_no_letter_fits_is_no_empty_desk(run: Run, fresh: Fresh) -> None:
    """Every message says what to do next: a misspelt reason is not taken for "nothing waits"."""
    assert run("letters").out == "nothing waits for a person\n"
    escalated(fresh, 1)
    unfit = run("letters", "--reason", "hopcap").out
    assert unfit == "no such letter waits; see all: buckstop letters\n"
    none = run("decide", "--all", "--reason", "hopcap", "abort").err
    assert none == "buckstop: abort would decide 0 letters; see all: buckstop letters\n"


def test_what_makes_no_sense_of_some_letters_is_told_of_each(run: Run, fresh: Fresh) -> None:
    """The others are decided all the same."""
    letter = escalated(fresh, 1)
    set_aside(fresh, 2)
    before = run("decide", "--all", "discard")
    assert "1 of the newest 3 does not allow discard, and would stay open" in before.err
    assert "discard would decide 2 letters" in before.err
    assert letter not in before.out
    done = run("decide", "--all", "discard", "--yes")
    assert done.code == Exit.ENDED_BADLY
    assert done.out.startswith("discard: 2 decided")
    assert f"{letter}: verb: a task waits on {letter}" in done.err


def test_a_filter_decides_nothing_without_all(run: Run) -> None:
    """One letter or all of a kind: never by accident."""
    for words in (
        ["t1.1", "abort", "--kind", "forged"], ["--all", "t1.1", "abort"], ["t1.1"], ["--all"],
    ):  # fmt: skip
        assert run("decide", *words).code == Exit.REFUSED


def test_new_letters_are_told_as_they_come(tmp_path: Path, fresh: Fresh) -> None:
    """`letters watch`: live, one line each, until Ctrl-C."""
    escalated(fresh, 1)
    where = {"BUCKSTOP_URL": fresh.url, "BUCKSTOP_PREFIX": fresh.keys.prefix}
    watch = subprocess.Popen(
        [sys.executable, "-m", "orchestrator.cli", "letters", "watch"],
        cwd=tmp_path, env=environ(**where), text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    try:
        assert watch.stderr is not None
        assert watch.stdout is not None
        assert "1 letter waits" in watch.stderr.readline()
        letter = escalated(fresh, 2)
        assert letter in watch.stdout.readline()
        watch.send_signal(signal.SIGINT)
        assert watch.wait(PATIENCE_S) == Exit.INTERRUPTED
    finally:
        watch.kill()
        watch.communicate()


def test_an_unknown_command_or_option_is_a_refusal(run: Run) -> None:
    """Exit code 2, with the usage."""
    assert run("sbmit").code == Exit.REFUSED
    said = run("submit", "--golf")
    assert said.code == Exit.REFUSED
    assert "--golf" in said.err
    said = run("submit", "--golf", "--json")
    assert json.loads(said.err)["exit"] == Exit.REFUSED


# --- keys ----------------------------------------------------------------------------------------


def test_keys_are_made_once(tmp_path: Path) -> None:
    """`buckstop keys` makes a pair and never overwrites one."""
    said = typed(tmp_path, "keys", "--dir", "pair", "--json")
    assert said.code == 0
    assert Path(tmp_path / said.json["private"]).stat().st_mode & 0o777 == 0o600
    again = typed(tmp_path, "keys", "--dir", "pair")
    assert again.code == Exit.REFUSED
    assert "never overwritten" in again.err


# --- submit --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("left_out", "field"),
    [("--tokens", "budget"), ("--timeout", "timeout"), ("--until", "until"), ("--goal", "goal")],
)
def test_a_task_without_bounds_is_refused_by_field(run: Run, left_out: str, field: str) -> None:
    """No finish line, no submit; nor without a ceiling or a deadline."""
    flags = [*HELLO, *DONE]
    place = flags.index(left_out)
    said = run("submit", *flags[:place], *flags[place + 2 :])
    assert said.code == Exit.REFUSED
    assert f"{field}: " in said.err
    said = run("submit", *flags[:place], *flags[place + 2 :], "--json")
    assert json.loads(said.err)["field"] == field


REQUEST: Mapping[str, Any] = {
    "goal": "say hello",
    "plan": [{"id": "a", "agent": "x"}, {"id": "b", "agent": "y", "needs": ["a"]}],
    "budget": {"tokens": 500},
    "timeout": "2m",
    "until": {"kind": "plan_done"},
}
AS_YAML = """
goal: say hello
plan:
  - {id: a, agent: x}
  - {id: b, agent: y, needs: [a]}
budget: {tokens: 500}
timeout: 2m
until: {kind: plan_done}
"""


@pytest.mark.parametrize("closed", ["0<&-", "1>&-", "2>&-", "0<&- 1>&- 2>&-"])
def test_a_standard_stream_that_is_closed_reads_and_writes_nothing(
    tmp_path: Path, closed: str
) -> None:
    """No command ends in a trace because of how it was started; nor is one stream another's."""
    ended = subprocess.run(
        ["sh", "-c", f'exec "$0" -m orchestrator.cli submit - {closed}', sys.executable],
        cwd=tmp_path,
        env=environ(),
        input="",
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    refusal = "" if "2" in closed else "buckstop: -: a request is an object with goal, budget"
    assert (ended.returncode, ended.stdout) == (Exit.REFUSED, "")
    assert ended.stderr[: len(refusal) or None] == refusal


@pytest.mark.parametrize("text", [json.dumps(REQUEST), AS_YAML], ids=["json", "yaml"])
def test_a_request_can_come_from_a_file_or_standard_input(
    run: Run, tmp_path: Path, text: str
) -> None:
    """`submit`: flags or a JSON/YAML file or -; flags win."""
    (tmp_path / "request").write_text(text)
    by_file = run("submit", "request", "--json").json["task"]
    by_stdin = run("submit", "-", "--json", text=text).json["task"]
    changed = run("submit", "request", "--tokens", "700", "--goal", "wave", "--json").json["task"]
    shown = {each["id"]: each for each in run("tasks", "--json").json}
    assert shown[by_file]["ledger"] == shown[by_stdin]["ledger"]
    assert [step["id"] for step in shown[by_file]["steps"]] == ["a", "b"]
    assert shown[changed]["ledger"]["ceiling"]["tokens"] == 700
    assert shown[changed]["goal"] == "wave"


def test_a_plan_can_come_from_a_file_of_its_own(run: Run, tmp_path: Path) -> None:
    """--plan FILE holds the list of steps."""
    (tmp_path / "plan.json").write_text(json.dumps(REQUEST["plan"]))
    flags = ["--goal", "g", "--usd", "0.5", "--timeout", "1m", "--until", "confidence=0.85"]
    task = run("submit", "--plan", "plan.json", *flags, "--json").json["task"]
    shown = run("show", task[:10], "--json").json
    assert [step["agent"] for step in shown["steps"]] == ["x", "y"]
    assert shown["ledger"]["ceiling"]["usd_micros"] == 500_000


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("a: &a [x]\nb: *a\n", "aliases"),
        ("- just\n- a list\n", "a request is an object"),
        ("{broken", "not JSON"),
        ("a: [1\n", "neither JSON nor YAML"),
        ('{"goal": "a", "goal": "b"}', "stands twice"),
        ("[" * 5000, "nested deeper|not JSON"),
        ("- " * 5000 + "x", "neither JSON nor YAML|object"),
    ],
)
def test_a_file_that_is_no_request_is_refused(run: Run, text: str, says: str) -> None:
    """Refused with an error that names what is wrong, never a trace."""
    said = run("submit", "-", text=text)
    assert said.code == Exit.REFUSED, said
    assert re.search(says, said.err)
    assert "Traceback" not in said.err


def test_finish_lines_have_a_short_form() -> None:
    """--until plan_done, confidence=0.85, spent=0.5, elapsed=60, or JSON."""
    assert finish_line("plan_done") == {"kind": "plan_done"}
    assert finish_line("confidence=0.85") == {"kind": "confidence", "at_least": 0.85}
    assert finish_line("spent=0.5") == {"kind": "spent", "share": 0.5}
    assert finish_line("elapsed=60") == {"kind": "elapsed", "seconds": 60}
    assert finish_line('{"kind": "any", "of": []}') == {"kind": "any", "of": []}


def test_waiting_for_a_task_that_goes_on_times_out(run: Run) -> None:
    """Exit code 5; the task is there all the same."""
    said = run("submit", *HELLO, *DONE, "--wait", "--wait-timeout", "0.3")
    assert said.code == Exit.TIMED_OUT
    assert "it goes on" in said.err
    assert len(run("tasks", "--json").json) == 1


def test_ctrl_c_stops_the_following_and_not_the_task(tmp_path: Path, fresh: Fresh) -> None:
    """Exit code 130, and how to look at the task again."""
    named = {"BUCKSTOP_URL": fresh.url, "BUCKSTOP_PREFIX": fresh.keys.prefix}
    following = subprocess.Popen(
        [sys.executable, "-m", "orchestrator.cli", "submit", *HELLO, *DONE, "--wait"],
        cwd=tmp_path,
        env=environ(**named),
        stderr=subprocess.PIPE,
        text=True,
    )
    assert following.stderr is not None
    assert "submitted" in following.stderr.readline()
    following.send_signal(signal.SIGINT)
    _, said = following.communicate(timeout=PATIENCE_S)
    assert following.returncode == Exit.INTERRUPTED
    assert "the task goes on: buckstop show" in said
    assert call(tmp_path, "tasks", "--json", **named).json[0]["state"] == "submitted"


def test_a_reader_that_leaves_early_is_no_error(run: Run, tmp_path: Path, fresh: Fresh) -> None:
    """`buckstop show ID | head -1` ends quietly."""
    plan = json.dumps([{"id": f"s{n}", "agent": "x" * 60} for n in range(2000)])
    (tmp_path / "plan").write_text(plan)
    flags = ["--goal", "g", "--tokens", "9", "--timeout", "1m", "--subtasks-max", "2000"]
    run("submit", "--plan", "plan", *flags, *DONE)
    command = f"{sys.executable} -m orchestrator.cli tasks --json | true"
    named = {"BUCKSTOP_URL": fresh.url, "BUCKSTOP_PREFIX": fresh.keys.prefix}
    said = subprocess.run(
        ["/bin/bash", "-o", "pipefail", "-c", command],
        cwd=tmp_path,
        env=environ(**named),
        capture_output=True,
        text=True,
        check=False,
    )
    assert (said.returncode, said.stderr) == (0, "")


def test_submitting_twice_with_one_key_is_said(run: Run) -> None:
    """Submitting twice with the same idempotency key returns the same task."""
    first, again = (run("submit", *HELLO, *DONE, "--idempotency-key", "k") for _ in range(2))
    assert again.out.split()[0] == first.out.strip()
    assert "submitted before" in again.out


# --- simulate ------------------------------------------------------------------------------------


def test_simulate_passes_its_arguments_on(tmp_path: Path) -> None:
    """`buckstop simulate --seeds N --tasks N --json`."""
    said = typed(tmp_path, "simulate", "--seeds", "1", "--tasks", "5", "--json")
    assert {"tasks", "decisions", "violations", "rules_never_fired"} <= said.json.keys()
    assert "--seeds" in typed(tmp_path, "simulate", "--help").out


# --- up ------------------------------------------------------------------------------------------


class Up:
    """A running `buckstop up --json`."""

    def __init__(self, directory: Path, *arguments: str) -> None:
        self.directory = directory
        self.process = subprocess.Popen(
            [sys.executable, "-m", "orchestrator.cli", "up", "--json", *arguments],
            cwd=directory,
            env=environ(),
            stdout=subprocess.PIPE,
            text=True,
        )
        self.said: list[dict[str, Any]] = []

    def until(self, event: str, name: str = "") -> dict[str, Any]:
        """Read what it says until it says this."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.said.append(json.loads(line))
            if self.said[-1]["event"] == event and name in self.said[-1].get("name", ""):
                return self.said[-1]
        raise AssertionError(f"it never said {event} {name}: {self.said}")

    def stop(self, number: signal.Signals = signal.SIGINT) -> int:
        self.process.send_signal(number)
        return self.process.wait(PATIENCE_S)

    @property
    def pids(self) -> Mapping[str, int]:
        note = Running.read(self.directory / DIRECTORY)
        assert note is not None
        return note.pids


@pytest.fixture
def up(tmp_path: Path) -> Iterator[Callable[..., Up]]:
    """Start `up` in a directory; whatever still runs at the end is ended."""
    started: list[Up] = []

    def start(*arguments: str) -> Up:
        started.append(Up(tmp_path, *arguments))
        return started[-1]

    yield start
    for one in started:
        if one.process.poll() is None:
            one.process.kill()
            one.process.wait()
        assert one.process.stdout is not None
        one.process.stdout.close()


def ended(pid: int) -> bool:
    try:
        return "State:\tZ" in Path(f"/proc/{pid}/status").read_text()
    except FileNotFoundError:
        return True


def test_one_signal_stops_everything_and_state_is_there_again(
    tmp_path: Path, up: Callable[..., Up]
) -> None:
    """`up`: one Ctrl-C stops all, state survives a restart."""
    first = up()
    first.until("ready")
    task = call(tmp_path, "submit", *HELLO, *DONE, "--json").json["task"]
    pids = dict(first.pids)
    assert first.stop() == 0
    assert all(ended(pid) for pid in pids.values())
    assert call(tmp_path, "tasks").code == Exit.NO_SERVER
    second = up()
    second.until("ready")
    assert [each["id"] for each in call(tmp_path, "tasks", "--json").json] == [task]
    assert second.stop(signal.SIGTERM) == 0


def test_what_dies_is_started_again(tmp_path: Path, up: Callable[..., Up]) -> None:
    """`up` restarts a child that dies, the server included, under the same URL."""
    running = up("--orchestrators", "2")
    running.until("ready")
    before = dict(running.pids)
    for name in ("orchestrator-1", "server"):
        os.kill(before[name], signal.SIGKILL)
        assert running.until("died", name)["again_in_s"] == 0
        running.until("server" if name == "server" else "started")
    until("another server runs", lambda: running.pids["server"] != before["server"])
    assert running.pids["orchestrator-1"] != before["orchestrator-1"]
    assert call(tmp_path, "tasks").code == 0
    assert running.stop() == 0


def test_up_goes_on_where_its_note_cannot_be_written(tmp_path: Path, up: Callable[..., Up]) -> None:
    """A full disk stops what cannot write, and not whoever starts it again."""
    running = up("--no-http")
    running.until("ready")
    (tmp_path / DIRECTORY / f"run.json.{running.process.pid}").mkdir()  # where a draft would be
    os.kill(running.pids["orchestrator-1"], signal.SIGKILL)
    running.until("started", "orchestrator-1")
    assert "directory" in running.until("unnoted")["why"]
    assert call(tmp_path, "tasks").code == 0, "the note before names the same server"
    assert running.stop() == 0


def test_what_a_disk_refuses_is_told_with_a_way_out(tmp_path: Path) -> None:
    """Helpful errors: what happened and what to do next; and no half key is in the way then."""
    command = f"ulimit -f 0; exec {sys.executable} -m orchestrator.cli keys --dir new"
    done = subprocess.run(
        ["sh", "-c", command],
        cwd=tmp_path,
        env=environ(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == Exit.REFUSED
    assert "File too large; let larger files be written" in done.stderr
    assert call(tmp_path, "keys", "--dir", "new").code == 0


def test_a_second_up_is_told_where_the_first_is(tmp_path: Path, up: Callable[..., Up]) -> None:
    """Refuses to start two on one directory, with a message that says where the running one is."""
    up().until("ready")
    said = call(tmp_path, "up")
    assert said.code == Exit.NO_SERVER
    assert "runs in" in said.err
    assert "Ctrl-C" in said.err


def test_nothing_survives_when_up_is_sigkilled(tmp_path: Path, up: Callable[..., Up]) -> None:
    """Stopped with its parent even when that is killed: every child of `up`."""
    running = up()
    running.until("ready")
    pids = dict(running.pids)
    running.process.kill()
    running.process.wait()
    until("all are gone", lambda: all(ended(pid) for pid in pids.values()))
    said = call(tmp_path, "tasks")
    assert said.code == Exit.NO_SERVER
    assert "start it again" in said.err


_MISSING = (("up", "no_such"), ("worker", "package.no_such"), ("up", "json.a.b"))


def test_a_module_that_cannot_be_imported_is_named_before_anything_starts(
    tmp_path: Path,
) -> None:
    """Helpful errors: which module, where it was looked for."""
    (tmp_path / "package").mkdir()
    (tmp_path / "package" / "__init__.py").write_text("raise RuntimeError('imported')")
    for command, module in _MISSING:
        said = call(tmp_path, command, module)
        assert said.code == Exit.REFUSED
        assert module in said.err
        assert "RuntimeError" not in said.err
        assert not (tmp_path / DIRECTORY).exists()


def test_a_module_that_breaks_when_it_is_imported_ends_up_with_its_reason(
    tmp_path: Path,
) -> None:
    """Helpful errors: who ended and why; never ready before that is known, never for ever again."""
    (tmp_path / "broken.py").write_text("import json\nname = 1 / 0\n")
    said = call(tmp_path, "up", "--no-http", "broken")
    assert said.code == Exit.REFUSED
    assert "worker-1 cannot start" in said.err
    assert f"ZeroDivisionError: division by zero; mend {tmp_path / 'broken.py'}:2" in said.err
    assert "ready: " not in said.out
    assert call(tmp_path, "tasks").code == Exit.NO_SERVER


def test_a_task_goes_in_and_comes_out(tmp_path: Path, up: Callable[..., Up]) -> None:
    """The spine, as a user meets it: `up` with a module, `submit --wait`, `show`."""
    loaded = "\nfrom pathlib import Path\nPath('loaded').touch()\n"
    (tmp_path / "my_agents.py").write_text(AGENTS + loaded)
    running = up("my_agents", "--concurrency", "2")
    running.until("ready")
    assert (tmp_path / "loaded").exists(), "ready is said once the worker has its agents"
    assert call(tmp_path, "agents", "--json").json[0]["workers"] == 1
    said = call(tmp_path, "submit", *HELLO, *DONE, "--wait", "--wait-timeout", "60", "--json")
    assert said.code == 0, said
    assert said.json["outcome"] == "completed"
    assert said.json["result"] == {"said": "say hello"}
    assert said.json["ledger"]["spent"]["tokens"] == 7
    shown = call(tmp_path, "show", said.json["task"][:8])
    for word in ("completed", "plan_done", "publish", "conclude", "greet", "success 0.90"):
        assert word in shown.out
    said = call(tmp_path, "submit", *HELLO, *DONE, "--wait", "--wait-timeout", "60")
    assert (said.code, "completed" in said.out) == (0, True)
    assert running.stop() == 0
