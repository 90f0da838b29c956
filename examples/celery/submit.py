"""Submit a task with a stock Celery client; nothing of Buckstop is imported here."""

import sys

from celery import Celery

app = Celery("shop", broker=sys.argv[1], backend=sys.argv[1])
message = app.send_task(
    "buckstop.submit",
    queue="buckstop:submit",
    kwargs={
        "goal": "the otters of the Elbe",
        "agent": "research",
        "budget": {"tokens": 5000},
        "timeout": "5m",
        "until": {"kind": "plan_done"},
    },
)
print(message.get(timeout=10)["task"])  # or ValueError: what is wrong, field by field
