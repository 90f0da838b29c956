"""The last act: a result that nobody was sure enough of goes to a person, and that is you."""

import select
import sys
from typing import Final

import httpx

from envelopes.decision import Decision, Verb
from orchestrator import login
from orchestrator.demo.acts import DONE
from orchestrator.demo.play import play, seen, show_journal, title
from orchestrator.demo.stage import Seen, Stage
from orchestrator.settings import person
from orchestrator.tokens import Scope, Tokens
from orchestrator.view import State

_DESK_TIMEOUT_S: Final = 600
"""Then the letter's own default applies, as it would anywhere."""
_LOOK_S: Final = 0.2


def below_the_bar(stage: Stage) -> Seen:
    """Let an agent make an offer that it is not sure of; a person decides whether it goes out."""
    title(
        stage, 4, "an offer its agent is only 55 % sure of, where 70 % is asked: a person decides"
    )
    task = stage.buckstop.submit(
        goal="Quote 12 boat trips for a school",
        agent="quote",
        budget={"tokens": 5_000},
        timeout=90,
        until=DONE,
        at_cap="escalate",
        desk_timeout=_DESK_TIMEOUT_S,
    )
    asked = play(stage, task)
    if asked.task.state is State.ON_DESK:
        _ask(stage, asked)
        for now in task.watch():
            ended = now
        show_journal(stage, ended, len(asked.journal))
    return seen(stage, task)


def look_around(stage: Stage) -> None:
    """Keep everything running until whoever sits at the terminal has seen enough."""
    if sys.stdin.isatty():
        stage.console.print(f"\nAll of it is in the console: {_link(stage, '/tasks')}")
        stage.console.input("It runs until you press Enter. ")


def _ask(stage: Stage, asked: Seen) -> None:
    letter = asked.task.letter
    assert letter is not None, "a task on the desk has a letter"
    if sys.stdin.isatty():
        _wait_for_the_person(stage, letter)
    else:
        _decide_over_http(stage, letter)


def _wait_for_the_person(stage: Stage, letter: str) -> None:
    """Wait for a decision, from the browser or from the keyboard."""
    stage.console.print(
        f"\n  [bold yellow]It is on your desk.[/] Decide it in the browser:\n"
        f"    {_link(stage, f'/desk/{letter}')}\n"
        f"  or here: [bold]Enter[/] approves, [bold]x Enter[/] aborts. "
        f"If nobody does, it is aborted in {_DESK_TIMEOUT_S // 60} minutes.\n"
    )
    while stage.buckstop.letter(letter)["state"] == "open":
        if select.select([sys.stdin], [], [], _LOOK_S)[0]:
            verb = Verb.ABORT if sys.stdin.readline().strip() == "x" else Verb.APPROVE
            stage.buckstop.decide(Decision(letter=letter, verb=verb, by=person()))


def _decide_over_http(stage: Stage, letter: str) -> None:
    """Decide as another service would; nobody sits at the terminal."""
    token = Tokens(stage.client, stage.keys).new("demo", [Scope.DECIDE])
    stage.console.print(
        f"  nobody sits here, so it is decided over HTTP: POST /v1/letters/{letter}/decision"
    )
    answer = httpx.post(
        f"{stage.http_url}/v1/letters/{letter}/decision",
        json={"verb": "approve", "why": "the price is right"},
        headers={"Authorization": f"Bearer {token}"},
        timeout=30,
    )
    answer.raise_for_status()


def _link(stage: Stage, path: str) -> str:
    where = f"{stage.http_url}{path}"
    return login.link(Tokens(stage.client, stage.keys), where, person(), ttl_s=_DESK_TIMEOUT_S)
