"""What went wrong, as an exit code and a sentence that says what to do next."""

from typing import Any

from redis.exceptions import AuthenticationError, NoPermissionError, RedisError
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from envelopes.strict import Refused
from orchestrator.backup import BackupError
from orchestrator.cells.cell import CellAway
from orchestrator.cells.file import CellsFileError
from orchestrator.checks import Unfit
from orchestrator.cli.exits import Exit
from orchestrator.client import NotFound, TimedOut
from orchestrator.embedded import EmbeddedError
from orchestrator.keyfile import KeyFileError
from orchestrator.settings import NoServer, SettingsError
from orchestrator.up import NotStarted


def explained(error: Exception) -> tuple[Exit, str, dict[str, Any]]:
    """Tell what is the caller's, the world's or our fault; raise the error again if it is ours."""
    match error:
        case Refused():
            return Exit.REFUSED, str(error), {"field": error.field}
        case Unfit():
            checks = [{"check": one.check, "fix": one.fix} for one in error.findings]
            return Exit.NO_SERVER, str(error), {"checks": checks}
        case NoServer() | EmbeddedError() | BackupError():
            return Exit.NO_SERVER, str(error), {}
        case SettingsError() | KeyFileError() | CellsFileError() | NotStarted():
            return Exit.REFUSED, str(error), {}
        case NotFound():
            return Exit.NOT_FOUND, str(error), {}
        case TimedOut():
            return Exit.TIMED_OUT, str(error), {}
        case AuthenticationError() | NoPermissionError():
            return Exit.NO_SERVER, f"the server turns us away: {error}; check user and password", {}
        case RedisConnectionError() | RedisTimeoutError():
            return Exit.NO_SERVER, _unreachable(error), {}
        case RedisError():
            return Exit.NO_SERVER, f"the server refused a command: {error}", {}
    raise error


def _unreachable(error: Exception) -> str:
    if isinstance(error, CellAway):
        return f"{error}. What is in other cells goes on; see: buckstop cells"
    why = str(error).partition(" : <")[0]  # behind it redis-py shows its own objects
    return (
        f"the server cannot be reached: {why}. If `buckstop up` ran it, it was stopped: start it "
        "again (nothing is lost), or name another with --url or BUCKSTOP_URL"
    )
