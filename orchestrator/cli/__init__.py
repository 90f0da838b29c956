"""`buckstop`: run it, submit to it, see what happened, decide.

One small file per group of commands; commands.py lists them all. Here a command line begins and
ends. Nothing is imported before Ctrl-C has been seen to (interrupts.py), nor unless it is needed.
"""

import os
import sys


def main() -> None:
    """Run the command line; every failure ends in a sentence and an exit code."""
    _open_what_is_closed()
    try:
        from orchestrator.cli.interrupts import end_at_once  # noqa: PLC0415 -- it may be interrupted

        end_at_once()
        from orchestrator.cli.commands import run  # noqa: PLC0415 -- it too

        try:
            code = run()
        finally:
            end_at_once()
    except KeyboardInterrupt:
        os._exit(130)  # Exit.INTERRUPTED, which may not be loaded yet
    sys.exit(code)


def _open_what_is_closed() -> None:
    """Read and write nothing where a standard stream is closed, as some schedulers leave it.

    Otherwise the first socket that is opened has its number, and is where a child reads or writes.
    """
    for name, mode in {"stdin": "r", "stdout": "w", "stderr": "w"}.items():
        if getattr(sys, name) is None:
            stream = open(os.devnull, mode, encoding="utf-8")  # noqa: PTH123, SIM115 -- for good
            os.set_inheritable(stream.fileno(), True)
            setattr(sys, name, stream)
