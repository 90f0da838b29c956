"""`buckstop submit`: from flags or a file, and with --wait to the end."""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click
import yaml
from redis.exceptions import RedisError
from rich.console import Console
from rich.live import Live

from envelopes import TaskRequest, limits
from envelopes.exports import exporting
from envelopes.strict import Refused, check_json
from orchestrator import intake
from orchestrator.cells.facade import agents_of
from orchestrator.cli.exits import Exit
from orchestrator.cli.options import complain, connected, json_option, url_option, write_json
from orchestrator.cli.screen import SHORT_ID, console, ending, one_line, progress
from orchestrator.client import Buckstop, TaskHandle, TimedOut
from orchestrator.store import Submission
from orchestrator.unstaffed import Unstaffed, unstaffed
from orchestrator.view import State, TaskView

_FLAGS = (
    *("goal", "agent", "planner", "manager", "owner", "timeout", "tenant", "idempotency_key"),
    *("hops_max", "subtasks_max", "confidence_min"),
)
"""Flags that are a field of the request, under the same name."""
_BUDGET = ("tokens", "usd", "calls")
_NOTHING = (
    'nothing is asked for; give a FILE, or for example: --goal "compare three vendors" --agent '
    "research --tokens 20000 --timeout 5m --until plan_done"
)


@click.command()
@click.argument("file", required=False, metavar="[FILE]")
@click.option("--goal", help="What is to be reached.")
@click.option("--agent", help="The one agent that does it; else give a plan.")
@click.option("--planner", help="The agent that makes the plan.")
@click.option("--manager", help="The agent that is asked in rounds what to do next.")
@click.option("--owner", help="The agent that is asked at every cap what becomes of the task.")
@click.option("--validator", "validators", multiple=True, help="An agent that judges the result.")
@click.option("--plan", type=click.Path(path_type=Path), help="JSON or YAML list of steps.")
@click.option("--input", "input_", metavar="JSON", help="What the agent gets besides the goal.")
@click.option("--tokens", type=int, help="Ceiling in tokens.")
@click.option("--usd", help="Ceiling in US dollars, such as 0.25.")
@click.option("--calls", type=int, help="Ceiling in model calls.")
@click.option("--timeout", help="Deadline, such as 90s, 5m, 2h.")
@click.option(
    "--until",
    help="Finish line: plan_done, confidence=0.85, rounds=6, spent=0.5, elapsed=60, JSON.",
)
@click.option("--hops-max", type=int, help="Hop cap; 12 unless said otherwise.")
@click.option("--subtasks-max", type=int, help="Cap on messages; 256 unless said otherwise.")
@click.option("--confidence-min", type=float, help="The bar for a result; 0.7.")
@click.option("--tenant", help="On whose account.")
@click.option("--idempotency-key", help="Submitting twice with it is submitting once.")
@click.option(
    "--label", "labels", multiple=True, metavar="NAME=VALUE", help="For finding it again."
)
@click.option("--wait", is_flag=True, help="Follow the task to its end.")
@click.option("--wait-timeout", type=float, metavar="SECONDS", help="Stop following after this.")
@url_option
@json_option
def submit(file: str | None, url: str | None, *, as_json: bool, **given: Any) -> Exit:
    """Submit a task, from flags or from FILE (JSON or YAML; - is standard input).

    Flags win over what stands in FILE. A budget, a timeout and a finish line are required.
    """
    request = {**(_read(file) if file else {}), **_from_flags(given)}
    if bounds := _budget(given):
        request["budget"] = _joined(request.get("budget"), bounds)
    if not request:
        raise click.UsageError(_NOTHING)
    with connected(url) as buckstop, exporting("buckstop.cli"):
        checked = intake.submission(request)
        task = buckstop.accept(checked)
        missing = _missing(buckstop, task, checked) if task.created else None
        if given["wait"]:
            return _follow(task, missing, given["wait_timeout"], as_json=as_json)
        if as_json:
            write_json({"task": task.id, "created": task.created, "unstaffed": missing})
        else:
            again = "" if task.created else " (submitted before, with this idempotency key)"
            print(f"{task.id}{again}", flush=True)
            print(f"see: buckstop show {_short(task)}", file=sys.stderr)
        _tell(task, missing)
    return Exit.OK


def _missing(buckstop: Buckstop, task: TaskHandle, checked: Submission) -> Unstaffed | None:
    """Look whether somebody runs the agents that it names; None where that cannot be seen now."""
    request = TaskRequest.model_validate_json(checked.request)
    try:
        return unstaffed(request, agents_of(buckstop, task.id))
    except RedisError as error:  # it is submitted, whatever became of the server since
        complain(f"whether somebody runs its agents could not be seen: {error}")
        return None


def _tell(task: TaskHandle, missing: Unstaffed | None) -> None:
    """Say it beside the answer: the task is submitted, and its worker may be on its way."""
    if missing:
        said = "; ".join(missing.sentences())
        complain(f"{said}. The task is submitted and waits; or: buckstop cancel {_short(task)}")


def _short(task: TaskHandle) -> str:
    return task.id[:SHORT_ID]


def _follow(
    task: TaskHandle, missing: Unstaffed | None, timeout: float | None, *, as_json: bool
) -> Exit:
    """Show the task as it goes on, then how it ended."""
    try:
        _tell(task, missing)
        last = _watch(task, timeout, quiet=as_json)
    except KeyboardInterrupt:
        complain(f"no longer following; the task goes on: buckstop show {_short(task)}")
        return Exit.INTERRUPTED
    if not last.final:
        raise TimedOut(f"{task.id} is still {last.state}; {_goes_on(last)}")
    result = task.result(0)
    if as_json:
        write_json(result.as_json())
    else:
        console().print(ending(result))
    return Exit.ENDED_BADLY if result.outcome is State.ABORTED else Exit.OK


def _goes_on(task: TaskView) -> str:
    if task.letter:
        return f"it waits for a person: buckstop letters show {task.letter}"
    return f"it goes on: buckstop show {task.id[:SHORT_ID]}"


def _watch(task: TaskHandle, timeout: float | None, *, quiet: bool) -> TaskView:
    """Draw the task on stderr, so that stdout carries the answer alone; return it as last seen."""
    paper = Console(stderr=True, quiet=quiet, soft_wrap=not sys.stderr.isatty())
    last = task.status()
    with Live(progress(last), console=paper, transient=True, auto_refresh=False) as live:
        for now in task.watch(timeout):
            last = now
            if paper.is_terminal:
                live.update(progress(now), refresh=True)
            else:
                paper.print(one_line(now))
    return last


def _from_flags(given: Mapping[str, Any]) -> dict[str, Any]:
    """Turn the flags that were given into a request's fields."""
    request = {name: given[name] for name in _FLAGS if given[name] is not None}
    if str(request.get("timeout")).isdecimal():
        request["timeout"] = int(request["timeout"])  # seconds, as in a file
    if given["plan"] is not None:
        plan = _parsed(_text(str(given["plan"])), "plan")
        request["plan"] = plan.get("plan", plan) if isinstance(plan, dict) else plan
    if given["input_"] is not None:
        request["input"] = _json(given["input_"], "input")
    if given["until"] is not None:
        request["until"] = finish_line(given["until"])
    if given["validators"]:
        request["validators"] = given["validators"]
    if given["labels"]:
        request["labels"] = dict(_label(text) for text in given["labels"])
    return request


def _joined(budget: Any, bounds: Mapping[str, Any]) -> Any:
    """Put the flags' bounds over the file's; what is no budget is left for intake to refuse."""
    return {**budget, **bounds} if isinstance(budget, dict) else budget or dict(bounds)


def _budget(given: Mapping[str, Any]) -> dict[str, Any]:
    return {name: given[name] for name in _BUDGET if given[name] is not None}


_FIGURE = {
    "confidence": ("at_least", "0.85"),
    "rounds": ("at_least", "6"),
    "stalled": ("at_least", "3"),
    "spent": ("share", "0.5"),
    "elapsed": ("seconds", "60"),
}
"""What the figure behind a condition is called in the request, and one for an example."""


def finish_line(text: str) -> Any:
    """Read a finish line: `plan_done`, `confidence=0.85`, `custom=referee` and so on, or JSON."""
    if text.lstrip().startswith("{"):
        return _json(text, "until")
    kind, _, figure = text.partition("=")
    if kind == "custom":
        return {"kind": kind, "agent": figure}
    if kind not in _FIGURE:
        return {"kind": kind}
    name, example = _FIGURE[kind]
    try:
        return {"kind": kind, name: float(figure) if "." in figure else int(figure)}
    except ValueError:
        raise Refused("until", f"{kind} needs a figure, such as {kind}={example}") from None


def _label(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals:
        raise Refused("labels", f"{text!r} is not NAME=VALUE")
    return name, value


def _read(file: str) -> dict[str, Any]:
    """Read a whole request from a file."""
    request = _parsed(_text(file), file)
    if not isinstance(request, dict):
        raise Refused(file, "a request is an object with goal, budget, timeout, until ...")
    return request


def _text(file: str) -> str:
    try:
        with click.open_file(file, encoding="utf-8") as stream:
            return str(stream.read(limits.REQUEST_BYTES_MAX + 1))
    except OSError as error:
        raise Refused(file, f"cannot be read: {error.strerror or error}") from None
    except UnicodeDecodeError as error:
        raise Refused(file, f"cannot be read: {error}") from None


def _parsed(text: str, what: str) -> Any:
    """Read JSON, or YAML where it is none: every JSON text would be YAML too, but less strictly."""
    if text.lstrip()[:1] in {"{", "["}:
        return _json(text, what)
    if len(text) > limits.REQUEST_BYTES_MAX:
        raise Refused(what, f"more than {limits.REQUEST_BYTES_MAX:,} bytes")
    try:
        return yaml.load(text, Loader=_PlainYaml)  # noqa: S506 -- a safe loader, and stricter
    except (yaml.YAMLError, RecursionError) as error:
        raise Refused(what, f"neither JSON nor YAML: {' '.join(str(error).split())}") from None


def _json(text: str, what: str) -> Any:
    return check_json(text, bytes_max=limits.REQUEST_BYTES_MAX, what=what)


class _PlainYaml(yaml.SafeLoader):
    """YAML without its traps: no aliases (a few lines of them fill any memory), no dates."""

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            raise yaml.YAMLError("aliases (*name) are not taken; write it out")
        return super().compose_node(parent, index)


_PlainYaml.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in pairs if not tag.endswith("timestamp")]
    for first, pairs in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
