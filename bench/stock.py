"""Celery as a user runs it: the other side of the comparison."""

import os

from celery import Celery

app = Celery("stock", broker=os.environ["BENCH_URL"], backend=os.environ["BENCH_URL"])
app.conf.update(task_default_queue="stock", broker_connection_retry_on_startup=True)


@app.task
def noop(number: int) -> int:
    """Do nothing, and say so."""
    return number


@app.task(ignore_result=True)
def bare(number: int) -> None:
    """Do nothing, and say nothing."""


@app.task
def done(numbers: list[int]) -> int:
    """Close the chord."""
    return len(numbers)
