"""What Celery's own instruments (Flower, `celery inspect`) see of a worker.

Events  A stock worker sends three events for each message, which costs it a quarter of its speed.
        Ours sends one, when a subtask has ended, with all there is to say (request.py). Whatever
        runs longer than a second is announced as started, too: look once a second, and most agents
        are quicker than that or take minutes. Nothing is sent unless somebody has asked for events,
        as Flower does.
Queues  Flower lists the queues that a worker says it reads. Ours names, besides: the lanes of
        tenants that have messages, the queue of dead letters, and the one that requests come in by.
        It reads neither of the latter two.
"""

from collections.abc import Iterable, Iterator
from typing import Any, Final

from celery import bootsteps
from celery.worker.control import inspect_command
from kombu.entity import Queue
from redis.exceptions import RedisError

from envelopes.keys import Keys
from envelopes.limits import LANES_SHOWN_MAX
from workers.request import Request
from workers.station import Station

_LOOK_S: Final = 1.0


class Announcing(bootsteps.StartStopStep):
    """Announces what has run for a second, for as long as there is a connection."""

    requires = ("celery.worker.consumer.tasks:Tasks",)

    def __init__(self, consumer: Any, **kwargs: Any) -> None:
        self._timer: Any = None
        super().__init__(consumer, **kwargs)

    def start(self, consumer: Any) -> None:
        """Begin to look."""
        self._timer = consumer.timer.call_repeatedly(_LOOK_S, announce)

    def stop(self, _consumer: Any) -> None:
        """Look no more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


def announce() -> None:
    """Announce every subtask that runs and has not been announced yet."""
    for request in list(Request.running.values()):
        request.announce()


def show_queues(station: Station, queues: Iterable[str]) -> None:
    """Answer from now on which queues there are, wherever this worker is asked for its own."""
    own = sorted(queues)

    @inspect_command(name="active_queues")  # type: ignore[untyped-decorator]
    def active_queues(_state: Any) -> list[dict[str, Any]]:
        """List the task queues a worker is currently consuming from, and what is to be seen."""
        names = [*own, *_lanes(station, own), *_only_shown(station.settings.keys)]
        return [dict(Queue(name).as_dict(recurse=True)) for name in names]


def _lanes(station: Station, queues: Iterable[str]) -> Iterator[str]:
    """Name the lanes of tenants in which messages lie; none where the server is away just now."""
    keys = station.settings.keys
    for queue in queues:
        try:
            lanes: Any = station.client.zrange(keys.lanes(queue), 0, LANES_SHOWN_MAX)
        except RedisError:
            return
        yield from (lane.decode() for lane in lanes if lane.decode() != queue)


def _only_shown(keys: Keys) -> tuple[str, ...]:
    return keys.dead_letters, keys.submissions
