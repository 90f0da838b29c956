"""Look at a whole deployment while it runs, and say what to do.

    server.py   the server: what `buckstop check` looks at, and rewrites, replicas, the clock
    rights.py   what its users may do, against what their roles need
    crew.py     orchestrators and workers: who is there, who is missing, who disagrees
    work.py     tasks, letters, and what is promised of them, on a sample
    outside.py  who is told of news, and whether anybody tells them

    findings = examine(Deployment.of(client, keys))
    if not fit(findings): ...

Each check is a function from the deployment to findings. A finding says what was seen and, where
something is to be done, the command that does it. Nothing is changed: the probes of rights are
commands that have no effect even where they are allowed.
"""

from collections.abc import Iterator, Mapping
from typing import Final

from redis.exceptions import NoPermissionError, ResponseError

from orchestrator.checks import Finding, Verdict
from orchestrator.doctor import crew, outside, rights, server, work
from orchestrator.doctor.deployment import Check, Deployment

__all__ = ["BAD", "CHECKS", "Deployment", "examine", "fit"]

BAD: Final = frozenset({Verdict.REFUSED, Verdict.FAULT})
"""What makes a deployment unfit."""
_WORST_FIRST: Final = (
    Verdict.REFUSED,
    Verdict.FAULT,
    Verdict.NOTE,
    Verdict.UNKNOWN,
    Verdict.GOOD,
)
_IN_A_SCRIPT: Final = "ACL failure"
"""How a server says that a script's caller may not do what the script does."""
CHECKS: Final[Mapping[str, Check]] = {
    "server": server.fitness,
    "rewrite": server.rewrite,
    "replicas": server.replicas,
    "sentinels": server.sentinels,
    "clock": server.clock,
    "rights": rights.of_this_user,
    "roles": rights.of_all_roles,
    "default user": rights.of_the_default_user,
    "orchestrators": crew.orchestrators,
    "workers": crew.workers,
    "queues": crew.queues,
    "agents": crew.agents_asked_for,
    "declarations": crew.declarations,
    "versions": crew.versions,
    "schemas": crew.schemas,
    "keys": crew.signing_keys,
    "desk": work.desk,
    "alarms": work.alarms,
    "letters": work.letters,
    "promises": work.promises,
    "subscriptions": outside.subscriptions,
    "courier": outside.courier,
}
"""Every check by name; most report one finding under that name."""


def examine(deployment: Deployment) -> tuple[Finding, ...]:
    """Look at everything; the worst comes first."""
    found = [one for name, check in CHECKS.items() for one in _seen(name, check, deployment)]
    return tuple(sorted(found, key=lambda one: _WORST_FIRST.index(one.verdict)))


def fit(findings: tuple[Finding, ...]) -> bool:
    """Say whether work is taken, and what is taken gets done."""
    return not any(one.verdict in BAD for one in findings)


def _seen(name: str, check: Check, deployment: Deployment) -> Iterator[Finding]:
    """Run one check; what its user may not look at is said, and is no reason to stop."""
    try:
        yield from check(deployment)
    except ResponseError as error:
        if not isinstance(error, NoPermissionError) and not str(error).startswith(_IN_A_SCRIPT):
            raise
        yield Finding(
            name,
            Verdict.UNKNOWN,
            f"the server does not let us look ({error})",
            "buckstop doctor as a user with more rights, such as admin (deploy/redis/users.acl)",
        )
