"""What `buckstop up` says while it runs: a line for each thing that happens, or JSON.

What can happen is named by orchestrator/up.py; a program reads the same with --json.
"""

from collections.abc import Mapping
from typing import Any, Final

from orchestrator.cli.options import write_json

_SAID: Final[Mapping[str, str]] = {
    "port": "port {taken} is taken; API and console are on {port}",
    "server": "server on 127.0.0.1:{port} (pid {pid})",
    "started": "{name} started (pid {pid}, log {log})",
    "waiting": "waiting for {them}; ready once all are at work",
    "ready": "ready: buckstop submit --help, in another terminal; Ctrl-C stops everything",
    "console": "console: {link}  (logs you in once; again: buckstop console)",
    "flower": "flower:  {link}  (user {user}, password {password})",
    "died": "{name} died ({why}); again in {again_in_s:g} s",
    "unnoted": "the note for other commands could not be written: {why}",
    "stopping": "stopping; what is under way gets {grace_s:g} s. Again: at once",
    "stopped": "{name} {how}",
}
"""By event; what is not in its fields is made by _more."""


def as_json(event: str, fields: Mapping[str, object]) -> None:
    """Write an event for a program."""
    write_json({"event": event, **fields})


def as_text(event: str, fields: Mapping[str, Any]) -> None:
    """Write it for a person."""
    print(_SAID[event].format(**fields, **_more(event, fields)), flush=True)


def _more(event: str, fields: Mapping[str, Any]) -> dict[str, str]:
    match event:
        case "waiting":
            each = (f"{one['name']} (see {one['log']})" for one in fields["for"])
            return {"them": " and ".join(each)}
        case "flower":
            user, _, password = fields["login"].partition(":")
            return {"user": user, "password": password}
        case "stopped":
            return {"how": "killed" if fields["killed"] else "stopped"}
        case _:
            return {}
