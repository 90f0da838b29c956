"""Exit codes: what a script can tell from the end of a command without reading anything."""

from enum import IntEnum


class Exit(IntEnum):
    """How a command ended."""

    OK = 0
    ENDED_BADLY = 1
    REFUSED = 2
    NO_SERVER = 3
    NOT_FOUND = 4
    TIMED_OUT = 5
    INTERRUPTED = 130


MEANING = {
    Exit.OK: "done; with --wait: the task completed, or delivered a partial result",
    Exit.ENDED_BADLY: "with --wait: the task was aborted; decide: somebody else was first; "
    "doctor: something needs to be done",
    Exit.REFUSED: "the command or the request is refused; the message names the field",
    Exit.NO_SERVER: "no server, or one that cannot keep promises; the message names the fix",
    Exit.NOT_FOUND: "no such task or letter, or the beginning of several",
    Exit.TIMED_OUT: "not ended in the time given; the task goes on",
    Exit.INTERRUPTED: "Ctrl-C; a task that was submitted goes on",
}
