"""Who is told of news, and whether anybody tells them."""

from collections.abc import Iterator

from envelopes.limits import DOCTOR_LATE_MS
from orchestrator.checks import Finding, Verdict
from orchestrator.courier.box import Box
from orchestrator.courier.subscriptions import Subscriptions
from orchestrator.doctor.deployment import Deployment, some
from orchestrator.news import place


def subscriptions(d: Deployment) -> Iterator[Finding]:
    """Name receivers that nothing is sent to, and those that take nothing."""
    known = Subscriptions(d.client, d.keys).list()
    for one in known:
        if one.disabled_ms is not None:
            yield Finding(
                "subscriptions",
                Verdict.NOTE,
                f"nothing is sent to {one.shown_url} any more ({one.why})",
                f"repair the receiver, then: buckstop hooks enable {one.id}",
            )
        elif one.failing_ms is not None:
            minutes = (d.now_ms - one.failing_ms) // 60_000
            yield Finding(
                "subscriptions",
                Verdict.NOTE,
                f"{one.shown_url} has taken nothing for {some(minutes, 'minute')}",
                f"see why: buckstop hooks deliveries {one.id}",
            )
    if not any(one.disabled_ms or one.failing_ms for one in known):
        yield Finding(
            "subscriptions",
            Verdict.GOOD,
            f"what is sent is taken by {some(len(known), 'receiver')}",
        )


def courier(d: Deployment) -> Iterator[Finding]:
    """See whether somebody carries the news to whoever wants it."""
    wanted = [one for one in Subscriptions(d.client, d.keys).list() if one.disabled_ms is None]
    if not wanted:
        yield Finding("courier", Verdict.GOOD, "nobody is to be told of anything")
        return
    late_ms = max(_uncarried_ms(d, min(one.created_ms for one in wanted)), _overdue_ms(d))
    if late_ms > DOCTOR_LATE_MS:
        yield Finding(
            "courier",
            Verdict.FAULT,
            f"no courier carries the news: it is {late_ms // 1000} s late for "
            + some(len(wanted), "receiver"),
            "buckstop courier",
        )
    else:
        yield Finding("courier", Verdict.GOOD, "the news is carried")


def _uncarried_ms(d: Deployment, since_ms: int) -> int:
    """Say for how long the first line of news that no courier has read has waited."""
    waiting = d.client.xrange(d.keys.news, f"({Box(d.client, d.keys).place()}", count=1)
    if not waiting:
        return 0
    told_ms, _ = place(waiting[0][0].decode())
    return d.now_ms - max(told_ms, since_ms)


def _overdue_ms(d: Deployment) -> int:
    """Say for how long the delivery that is due first has been due."""
    first = d.client.zrange(d.keys.deliveries, 0, 0, withscores=True)
    return d.now_ms - int(first[0][1]) if first else 0
