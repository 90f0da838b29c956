"""Commands about agents and tenants: who is there, how much they may have, how sure they are."""

from collections.abc import Sequence

import click

from orchestrator.calibration import calibrated
from orchestrator.cli.options import connected, json_option, url_option, write_json
from orchestrator.cli.screen import agent_table, calibration_table, console, tenant_table
from orchestrator.client import NotFound
from orchestrator.unstaffed import some
from orchestrator.view import AgentView


@click.group(invoke_without_command=True)
@click.option("--all", "every", is_flag=True, help="Those too that are retired.")
@url_option
@json_option
@click.pass_context
def agents(ctx: click.Context, url: str | None, *, every: bool, as_json: bool) -> None:
    """List agents: skills, queue, what is in flight, breaker.

    An agent is retired when no worker runs it, it has nothing to do, and it has done nothing today
    or yesterday. The table only names those; JSON has all, and says of each whether it is.
    """
    ctx.obj = url
    if ctx.invoked_subcommand is not None:
        return
    with connected(url) as buckstop:
        found = buckstop.agents()
    if as_json:
        write_json([one.as_json() for one in found])
    elif found:
        _print(found, every=every)
    else:
        print("no worker has said yet which agents it runs")


def _print(found: Sequence[AgentView], *, every: bool) -> None:
    """List agents, and name those that are left out."""
    retired = [] if every else [one.name for one in found if one.retired]
    if shown := [one for one in found if one.name not in retired]:
        console().print(agent_table(shown))
    if retired:
        print(f"retired: {some(retired)}; see: buckstop agents --all")


@agents.command("cap")
@click.argument("name")
@click.argument("most", metavar="N|none")
@json_option
@click.pass_obj
def cap_agent(url: str | None, name: str, most: str, *, as_json: bool) -> None:
    """Let at most N messages of agent NAME be in flight, over all workers; none for no cap."""
    with connected(url) as buckstop:
        if name not in (known := buckstop.store.agents()):
            raise NotFound(f"no agent is called {name!r}; there are: {', '.join(sorted(known))}")
        buckstop.store.set_cap("agent", name, _most(most))
    if as_json:
        write_json({"agent": name, "cap": _most(most)})
    else:
        print(f"{name}: {_bound(most, 'in flight')}")


@agents.command("reset")
@click.argument("name")
@json_option
@click.pass_obj
def reset(url: str | None, name: str, *, as_json: bool) -> None:
    """Close the breaker of agent NAME: it is repaired."""
    with connected(url) as buckstop:
        if not buckstop.store.reset_breaker(name):
            raise NotFound(f"nothing is held against {name!r}; see: buckstop agents")
    if as_json:
        write_json({"agent": name, "breaker_open": False})
    else:
        print(f"{name}: its breaker is closed, and its faults are forgotten")


@click.group(invoke_without_command=True)
@url_option
@json_option
@click.pass_context
def tenants(ctx: click.Context, url: str | None, *, as_json: bool) -> None:
    """List tenants: tasks at work, tasks that wait for a place, cap."""
    ctx.obj = url
    if ctx.invoked_subcommand is not None:
        return
    with connected(url) as buckstop:
        found = buckstop.store.tenants()
    if as_json:
        write_json(found)
    elif found:
        console().print(tenant_table(found))
    else:
        print("no tenant has a task or a cap")


@tenants.command("cap")
@click.argument("name")
@click.argument("most", metavar="N|none")
@json_option
@click.pass_obj
def cap_tenant(url: str | None, name: str, most: str, *, as_json: bool) -> None:
    """Let at most N tasks of tenant NAME be at work; more wait; none for the usual cap."""
    with connected(url) as buckstop:
        buckstop.store.set_cap("tenant", name, _most(most))
    if as_json:
        write_json({"tenant": name, "cap": _most(most)})
    else:
        print(f"{name}: {_bound(most, 'of its tasks at work')}")


@click.command()
@click.option(
    "--precision",
    default=0.9,
    show_default=True,
    type=click.FloatRange(0, 1),
    help="The share that should be right.",
)
@url_option
@json_option
def calibration(precision: float, url: str | None, *, as_json: bool) -> None:
    """Show what each agent's confidence is worth, by what people decided at the desk.

    `bar` is the confidence below which results should have gone to a person, for the wished
    precision among the others.
    """
    with connected(url) as buckstop:
        found = calibrated(buckstop.store.calibration(), precision)
    if as_json:
        write_json([one.as_json() for one in found])
    elif found:
        console().print(calibration_table(found, precision))
    else:
        print("no person has judged a result yet")


def _bound(most: str, what: str) -> str:
    return f"no cap on {what}" if most == "none" else f"at most {most} {what}"


def _most(text: str) -> int | None:
    if text == "none":
        return None
    if not text.isdecimal() or int(text) < 1:
        raise click.BadParameter(f"{text!r} is neither a whole number from 1 nor none")
    return int(text)
