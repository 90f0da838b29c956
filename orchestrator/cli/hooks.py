"""Commands about who is told: hooks (subscriptions), courier (the process that tells them)."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import click

from envelopes import limits
from envelopes.letter import LetterKind
from envelopes.scripts import connect
from envelopes.strict import compact, parse
from orchestrator.cells.facade import Cells, opened
from orchestrator.cells.shared import CellSubscriptions
from orchestrator.cli.hook_screen import delivery_table, hook_table
from orchestrator.cli.interrupts import loading
from orchestrator.cli.options import changing, json_option, settings, url_option, write_json
from orchestrator.cli.screen import console
from orchestrator.client import NotFound
from orchestrator.courier.subscription import NewSubscription, Subscription, SubscriptionKind, Told
from orchestrator.courier.subscriptions import Subscriptions

_BYTES_MAX: Final = 16 * 1024
_EVENTS: Final = click.Choice([each.value for each in Told])
_KINDS: Final = click.Choice([each.value for each in LetterKind])
_OPTIONS: Final = (
    click.option("--event", "events", multiple=True, type=_EVENTS,
                 help="Tell of this; may be said again. Else what is usual for the kind."),
    click.option("--letter", "kinds", multiple=True, type=_KINDS,
                 help="Of letters, this kind only; may be said again."),
    click.option("--tenant", help="Only of this tenant."),
    click.option("--allow-private", is_flag=True, help="It may lead into private networks."),
)  # fmt: skip


@click.group(invoke_without_command=True)
@url_option
@json_option
@click.pass_context
def hooks(ctx: click.Context, url: str | None, *, as_json: bool) -> None:
    """List who is told of news, by webhook or by notification; make, try and remove them."""
    ctx.obj = url
    if ctx.invoked_subcommand is None:
        _list(url, as_json=as_json)


@hooks.command("list")
@json_option
@click.pass_obj
def list_(url: str | None, *, as_json: bool) -> None:
    """List all; secrets are not shown."""
    _list(url, as_json=as_json)


@hooks.group("new")
def new() -> None:
    """Make one: `new webhook URL` for a program, `new notify URL` for people."""


def _told(command: Any) -> Any:
    for option in reversed(_OPTIONS):
        command = option(command)
    return json_option(command)


@new.command("webhook")
@click.argument("where", metavar="URL")
@_told
@click.pass_obj
def new_webhook(url: str | None, /, where: str, *, as_json: bool, **given: Any) -> None:
    """POST each line of news to URL, signed as Standard Webhooks says; its secret is shown once."""
    made = _make(url, {"kind": SubscriptionKind.WEBHOOK, "url": where, **given})
    if as_json:
        write_json(made.shown_once())
    else:
        print(f"{made.id}: signed with {made.secret}\nkeep the secret: it is not shown again")
        print(f"try it: buckstop hooks test {made.id}")


@new.command("notify")
@click.argument("where", metavar="URL")
@click.option(
    *("--quiet", "quiet_s"),
    default=limits.QUIET_DEFAULT_S,
    show_default=True,
    metavar="SECONDS",
    help="After a message, how long nothing more of its cause.",
)
@_told
@click.pass_obj
def new_notify(url: str | None, /, where: str, *, as_json: bool, **given: Any) -> None:
    """Write a message for each cause to URL, as Apprise writes it: slack://, mailto://, ..."""
    made = _make(url, {"kind": SubscriptionKind.NOTIFY, "url": where, **given})
    if as_json:
        write_json(made.shown_once())
    else:
        print(f"{made.id}: {made.shown_url}; try it: buckstop hooks test {made.id}")


@hooks.command("remove")
@click.argument("hook", metavar="ID")
@json_option
@click.pass_obj
def remove(url: str | None, hook: str, *, as_json: bool) -> None:
    """End one; what still waits for its receiver is not sent."""
    with _subscriptions(url) as known:
        found = _meant(known, hook)
        known.remove(found.id)
    _say({"id": found.id, "removed": True}, f"{found.id}: removed", as_json=as_json)


@hooks.command("test")
@click.argument("hook", metavar="ID")
@json_option
@click.pass_obj
def test(url: str | None, hook: str, *, as_json: bool) -> None:
    """Send a test to one, through the courier that is running."""
    with _subscriptions(url) as known:
        found = _meant(known, hook)
        delivery = known.test(found.id)
    text = f"{found.id}: a test is on its way; see: buckstop hooks deliveries {found.id}"
    _say({"id": found.id, "delivery": delivery}, text, as_json=as_json)


@hooks.command("rotate")
@click.argument("hook", metavar="ID")
@json_option
@click.pass_obj
def rotate(url: str | None, hook: str, *, as_json: bool) -> None:
    """Give a webhook a new secret; for a day the old one signs beside it."""
    with _subscriptions(url) as known:
        made = known.rotate(_meant(known, hook).id)
    text = f"{made.id}: from now on signed with {made.secret}, and for a day with the old one too"
    _say(made.shown_once(), text, as_json=as_json)


@hooks.command("enable")
@click.argument("hook", metavar="ID")
@json_option
@click.pass_obj
def enable(url: str | None, hook: str, *, as_json: bool) -> None:
    """Send to a disabled one again."""
    with _subscriptions(url) as known:
        found = known.enable(_meant(known, hook).id)
    _say(found.as_json(), f"{found.id}: enabled; what it missed is not sent", as_json=as_json)


@hooks.command("deliveries")
@click.argument("hook", metavar="ID")
@click.option("--count", "-n", default=20, show_default=True,
              type=click.IntRange(1, limits.DELIVERIES_KEPT), help="How many.")  # fmt: skip
@json_option
@click.pass_obj
def deliveries(url: str | None, hook: str, count: int, *, as_json: bool) -> None:
    """Show what was sent to one lately, what waits, and why what failed has failed."""
    with _subscriptions(url) as known:
        found = known.deliveries(_meant(known, hook).id, count)
    if as_json:
        write_json([one.as_json() for one in found])
    elif found:
        console().print(delivery_table(found))
    else:
        print("nothing has been sent there yet")


@click.command()
@url_option
@json_option
def courier(url: str | None, *, as_json: bool) -> None:
    """Run one courier; any number may run. Its log is JSON lines in any case."""
    del as_json
    os.environ["BUCKSTOP_URL"] = settings(url).url
    with loading():
        from orchestrator.courier.__main__ import main  # noqa: PLC0415 -- it imports Apprise, httpx

    main()


@contextmanager
def _subscriptions(url: str | None) -> Iterator[Subscriptions | CellSubscriptions]:
    """Open the subscriptions of the server that is meant, or of all cells."""
    with opened(url) as deployment, changing():
        if isinstance(deployment, Cells):
            yield deployment.subscriptions
            return
    with connect(deployment.settings.url) as client:
        yield Subscriptions(client, deployment.settings.keys)


def _list(url: str | None, *, as_json: bool) -> None:
    with _subscriptions(url) as known:
        found = known.list()
    if as_json:
        write_json([one.as_json() for one in found])
    elif found:
        console().print(hook_table(found))
    else:
        print("nobody is told yet; begin with: buckstop hooks new webhook URL, or new notify URL")


def _make(url: str | None, said: dict[str, Any]) -> Subscription:
    given = {name: value for name, value in said.items() if value not in (None, ())}
    new = parse(NewSubscription, compact(given), bytes_max=_BYTES_MAX, what="subscription")
    with _subscriptions(url) as known:
        return known.add(new)


def _meant(known: Subscriptions | CellSubscriptions, hook: str) -> Subscription:
    """Return the subscription that an id, or its beginning, names."""
    found = [one for one in known.list() if one.id.startswith(hook)]
    if len(found) != 1:
        raise NotFound(f"{len(found)} subscriptions begin with {hook!r}; see: buckstop hooks list")
    return found[0]


def _say(value: dict[str, Any], text: str, *, as_json: bool) -> None:
    write_json(value) if as_json else print(text)
