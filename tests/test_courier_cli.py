"""`buckstop hooks`: make, list, try and end who is told."""

import re
from pathlib import Path

import pytest
from click.testing import CliRunner
from post_office import PostOffice
from receiver import OK, receiving
from standardwebhooks import Webhook

from orchestrator.cli.commands import buckstop
from orchestrator.cli.exits import Exit
from orchestrator.cli.failures import explained
from tests.conftest import Fresh
from tests.typed import Run, typed


@pytest.fixture
def run(tmp_path: Path, fresh: Fresh) -> Run:
    """Type a command at the emptied server, in a directory of its own."""
    prefix = {"BUCKSTOP_URL": fresh.url, "BUCKSTOP_PREFIX": fresh.keys.prefix}
    return lambda *arguments, **more: typed(tmp_path, *arguments, **{**prefix, **more})


def failing(fresh: Fresh, *arguments: str) -> tuple[Exit, str]:
    """Run a command in this process, and return how it failed."""
    environ = {"BUCKSTOP_URL": fresh.url, "BUCKSTOP_PREFIX": fresh.keys.prefix}
    result = CliRunner(env=environ).invoke(buckstop, ["hooks", *arguments])
    assert isinstance(result.exception, Exception)
    code, said, _ = explained(result.exception)
    return code, said


def test_a_hook_is_made_tried_listed_and_removed(run: Run, fresh: Fresh) -> None:
    """CLI: `buckstop hooks` list | new webhook URL | test ID | deliveries ID | remove ID."""
    office = PostOffice(fresh)
    assert "nobody is told yet" in run("hooks").out
    with receiving() as receiver:
        url = receiver.url("/in?token=s3cret")
        made = run("hooks", "new", "webhook", url, "--allow-private")
        [(hook, secret)] = re.findall(r"^(\w+): signed with (whsec_\S+)$", made.out, re.MULTILINE)
        assert f"buckstop hooks test {hook}" in made.out
        assert "on its way" in run("hooks", "test", hook[:5]).out
        receiver.answers["/in?token=s3cret"] = [500, OK]
        office.deliver()
        Webhook(secret).verify(receiver.heard[0].body, receiver.heard[0].headers)
    listed = run("hooks", "list").out
    assert hook in listed
    assert "works" in listed
    assert "s3cret" not in listed
    assert secret not in listed
    shown = run("hooks", "deliveries", hook).out
    assert re.search(r"subscription.test .*done +2 +204", shown)
    assert run("hooks", "remove", hook, "--json").json == {"id": hook, "removed": True}
    assert run("hooks", "list", "--json").json == []


def test_a_secret_is_shown_once_in_json_too(run: Run) -> None:
    made = run("hooks", "new", "webhook", "http://127.0.0.1:9/", "--allow-private",
               "--event", "task.ended", "--tenant", "acme", "--json").json  # fmt: skip
    assert made["secret"].startswith("whsec_")
    assert (made["events"], made["tenant"]) == (["task.ended"], "acme")
    rotated = run("hooks", "rotate", made["id"], "--json").json
    assert rotated["secret"] != made["secret"]
    [listed] = run("hooks", "list", "--json").json
    assert "secret" not in listed
    assert run("hooks", "--json").json == [listed]


def test_a_person_is_told_of_some_kinds(run: Run) -> None:
    made = run("hooks", "new", "notify", "json://us3r:pw@127.0.0.1:9/t0ken", "--allow-private",
               "--letter", "question", "--letter", "poison", "--quiet", "60")  # fmt: skip
    assert re.match(r"\w+: json://\*\*\*; try it: buckstop hooks test \w+$", made.out)
    [listed] = run("hooks", "--json").json
    assert listed["kinds"] == ["question", "poison"]
    assert listed["quiet_s"] == 60
    assert listed["url"] == "json://***"
    assert "t0ken" not in run("hooks").out


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("new", "webhook", "http://127.0.0.1/"), "say --allow-private"),
        (("new", "webhook", "https://localhost/"), "say --allow-private"),
        (("new", "webhook", "https://u:p@x.example/"), "user and password"),
        (("new", "notify", "s3cret"), "Apprise knows no such URL"),
        (("new", "notify", "json://localhost/"), "only we can reach"),
        (("new", "notify", "json://x.example/", "--quiet", "-1"), "quiet_s"),
        (("new", "notify", "json://x.example/", "--tenant", "a|b"), "tenant"),
    ],
)
def test_what_is_refused_says_why(fresh: Fresh, arguments: tuple[str, ...], says: str) -> None:
    """What happened, why, what to do; and no secret in it."""
    code, said = failing(fresh, *arguments)
    assert code == Exit.REFUSED
    assert says in said
    assert "s3cret" not in said


@pytest.mark.parametrize("command", ["remove", "test", "rotate", "enable", "deliveries"])
def test_what_is_not_there_is_not_found(fresh: Fresh, command: str) -> None:
    code, said = failing(fresh, command, "nobody")
    assert code == Exit.NOT_FOUND
    assert "buckstop hooks list" in said


def test_help_of_hooks_names_its_commands(run: Run) -> None:
    said = run("hooks", "--help").out
    for name in ("list", "new", "test", "deliveries", "rotate", "enable", "remove"):
        assert re.search(rf"^  {name} ", said, re.MULTILINE), name
