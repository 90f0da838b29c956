"""Start a program that ends when its parent does, even when the parent is SIGKILLed.

Run as a script, by path, before anything else is imported; it becomes the program:

    python -I -S leash.py [--watch] PARENT_PID PROGRAM ARGUMENT...

Linux sends SIGTERM itself, but as soon as the *thread* that started the child ends. So that way is
taken from the main thread only. From other threads, and on other systems, a small companion process
(--watch) looks twice a second whether parent and program still live.
"""

import ctypes
import os
import signal
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path

_PR_SET_PDEATHSIG = 1
_LOOK_EVERY_S = 0.5


def leashed(command: Sequence[str]) -> list[str]:
    """Return the command line that runs a command on the leash of this process."""
    in_main_thread = threading.current_thread() is threading.main_thread()
    watch = [] if in_main_thread and sys.platform == "linux" else ["--watch"]
    script = str(Path(__file__).resolve())
    return [sys.executable, "-I", "-S", script, *watch, str(os.getpid()), *command]


def main(arguments: Sequence[str]) -> None:
    """Tie this process to its parent and become the program."""
    watch = arguments[0] == "--watch"
    parent, *command = arguments[1:] if watch else arguments
    if watch:
        _leave_a_companion(int(parent))
    else:
        _ask_the_kernel()
    # The parent may have died before the leash was on; then nobody would ever send the signal.
    if os.getppid() != int(parent):
        sys.exit(f"parent {parent} is gone")
    os.execv(command[0], command)  # noqa: S606 -- becoming the program is what this is for


def _ask_the_kernel() -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0) != 0:
        sys.exit(f"prctl: {os.strerror(ctypes.get_errno())}")


def _leave_a_companion(parent: int) -> None:
    """Fork; the child stays behind to watch, the original goes on to become the program."""
    program = os.getpid()
    if os.fork() != 0:
        return
    # An inherited lock or pipe must not outlive the program.
    os.closerange(0, os.sysconf("SC_OPEN_MAX"))
    while os.getppid() == program:
        if not _lives(parent):
            os.kill(program, signal.SIGTERM)
            break
        time.sleep(_LOOK_EVERY_S)
    os._exit(0)


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


if __name__ == "__main__":
    main(sys.argv[1:])
