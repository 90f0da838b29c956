"""The command that looks at a whole deployment: doctor."""

from urllib.parse import unquote, urlsplit

import click

from envelopes.address import Sentinels
from envelopes.scripts import connect
from orchestrator.checks import Finding, Verdict
from orchestrator.cli.exits import Exit
from orchestrator.cli.options import json_option, settings, url_option, write_json
from orchestrator.doctor import BAD, Deployment, examine, fit
from orchestrator.doctor.rights import ROLES
from orchestrator.log import without_password


@click.command()
@click.option("--role", type=click.Choice(ROLES), help="Whose rights the present user must have.")
@url_option
@json_option
def doctor(role: str | None, url: str | None, *, as_json: bool) -> Exit:
    """Look at a running deployment; each complaint names its fix.

    Looks at what `buckstop check` looks at, and at rights, clocks, orchestrators, workers, queues,
    late work, receivers of news, and a sample of tasks. Changes nothing. The role is the name of
    the URL's user where that is one, else front: whoever gives commands.
    """
    chosen = settings(url)
    with connect(chosen.url) as client:
        mine, kept = role or _role(chosen.url), Sentinels.of(chosen.url)
        deployment = Deployment.of(client, chosen.keys, mine, chosen.signing_key, kept)
        findings = examine(deployment)
    if as_json:
        write_json({"fit": fit(findings), "findings": [_fields(one) for one in findings]})
    else:
        print(f"{without_password(chosen.url)} (from {chosen.found_in})")
        for one in findings:
            print(f"  {one.verdict:8} {one}")
        print(_summary(findings))
    return _exit(findings)


def _role(url: str) -> str:
    user = unquote(urlsplit(url).username or "")
    return user if user in ROLES else "front"


def _summary(findings: tuple[Finding, ...]) -> str:
    bad = sum(one.verdict in BAD for one in findings)
    return "fit" if not bad else f"not fit: {bad} of {len(findings)} findings need something done"


def _exit(findings: tuple[Finding, ...]) -> Exit:
    if any(one.verdict is Verdict.REFUSED for one in findings):
        return Exit.NO_SERVER
    return Exit.OK if fit(findings) else Exit.ENDED_BADLY


def _fields(finding: Finding) -> dict[str, str]:
    return {
        "check": finding.check,
        "verdict": finding.verdict,
        "found": finding.found,
        "fix": finding.fix,
    }
