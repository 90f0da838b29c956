"""What went wrong, as an exit code and a sentence that says what to do next."""

import errno
from typing import Any, Final

from redis.exceptions import AuthenticationError, NoPermissionError, RedisError
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError
from redis.sentinel import MasterNotFoundError

from envelopes.strict import Refused
from orchestrator.backup import BackupError
from orchestrator.cells.cell import AllAway, CellAway
from orchestrator.cells.file import CellsFileError
from orchestrator.checks import Unfit
from orchestrator.cli.exits import Exit
from orchestrator.client import NotFound, TimedOut
from orchestrator.embedded import EmbeddedError
from orchestrator.keyfile import KeyFileError
from orchestrator.settings import NoServer, SettingsError
from orchestrator.up import NotStarted

_WORLDS: Final = {
    errno.ENOSPC: "free some space, and try again",
    errno.EDQUOT: "free some space, and try again",
    errno.EFBIG: "let larger files be written: ulimit -f",
    errno.EACCES: "name a place where you may read and write",
    errno.EPERM: "name a place where you may read and write",
    errno.EROFS: "name a place where something can be written",
    errno.ENOENT: "see whether the path is right",
    errno.ENOTDIR: "see whether the path is right",
    errno.EISDIR: "name a file",
    errno.ENAMETOOLONG: "name a shorter path",
}
"""What is wrong with the disk and not with us, and what to do."""
_NO_SENTINEL: Final = (
    "no Sentinel answers, or none of them knows a server of that name. See whether they run, and "
    "what they call it (redis-cli -p 26379 SENTINEL MASTERS). Where they speak TLS, the URL begins "
    "with rediss+sentinel:// and ends with who signed their certificates: ?ssl_ca_certs=FILE"
)


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
            return Exit.NO_SERVER, _turned_away(error), {}
        case RedisConnectionError() | RedisTimeoutError():
            return Exit.NO_SERVER, _unreachable(error), {}
        case RedisError():
            return Exit.NO_SERVER, f"the server refused a command: {error}", {}
    return Exit.REFUSED, _of_the_disk(error), {}


def _of_the_disk(error: Exception) -> str:
    """Say what is wrong with a disk or a path; what is wrong with us is raised again."""
    if not isinstance(error, OSError) or error.errno not in _WORLDS:
        raise error
    return f"{error}; {_WORLDS[error.errno]}"


def _turned_away(error: Exception) -> str:
    if "HELLO must be called" in str(error) or "Authentication required" in str(error):
        return (
            "the server wants a password, and the URL names none; write "
            "redis://USER:PASSWORD@host:6379/0, or keep it in a file: BUCKSTOP_PASSWORD_FILE"
        )
    return f"the server turns us away: {_bare(error)}; check user and password"


def _bare(error: object) -> str:
    """Take away the full stop of somebody else's sentence that ours goes on from."""
    return str(error).rstrip(". ")


def _unreachable(error: Exception) -> str:
    if isinstance(error, AllAway):
        return f"{error}. No cell answers; start them, and see how each is: buckstop cells"
    if isinstance(error, CellAway):
        return f"{error}. What is in other cells goes on; see: buckstop cells"
    why = _bare(str(error).partition(" : <")[0])  # behind it redis-py shows its own objects
    if isinstance(error, MasterNotFoundError):
        return f"{why}: {_NO_SENTINEL}"
    return (
        f"the server cannot be reached: {why}. Where `buckstop up` runs it, that says more; where "
        "it was stopped, start it again (nothing is lost), or name another: --url or BUCKSTOP_URL"
    )
