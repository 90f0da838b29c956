"""What `buckstop worker` becomes: Celery's command line, quiet about a Ctrl-C while it loads.

Celery and the agents' modules take a second to import. A Ctrl-C in that time ends the process on
the spot, as nothing has been taken from a queue yet; then Celery asks for the signal itself.
Nothing of the orchestrator is imported with this.
"""

import os
import runpy
import signal

if __name__ == "__main__":
    if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
        signal.signal(signal.SIGINT, lambda *_: os._exit(130))
    runpy.run_module("celery", run_name="__main__", alter_sys=True)
