"""The Celery app of a worker: `celery -A workers.app worker`, or `buckstop worker MODULE...`.

Ordinary Celery, with these differences: each agent is a task and a queue; messages pass a gate
before Celery sees them (channel.py, intake.py, gate.py); results go to the task's owner, not to a
result backend (runtime.py). Celery's retries, eta, countdown and expiry are never used.

Agents come from the modules in BUCKSTOP_AGENTS, and from whatever module was imported before the
worker starts, so `celery -A mymodule worker` works too where mymodule imports `app` from here.
"""

import importlib
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path
from threading import Thread
from typing import Any, NoReturn
from urllib.parse import quote

from celery import Celery, Task, bootsteps, signals
from celery.worker.consumer import Consumer as CeleryConsumer
from kombu.entity import Queue

from envelopes.address import Sentinels, tls_of, without_password
from envelopes.connection import asking
from envelopes.limits import SOCKET_TIMEOUT_S
from envelopes.seal import Verifier, key_id
from workers import channel, log, panel
from workers.agent import Agent, registry
from workers.intake import GRANT, Intake
from workers.outcome import Outcome
from workers.request import Request
from workers.settings import Settings, SettingsError
from workers.shift import Shift
from workers.station import Station

_TRANSPORT = {
    "ack_emulation": False,  # our claims do what it does, in the fetch itself
    "socket_timeout": SOCKET_TIMEOUT_S,
    "socket_connect_timeout": SOCKET_TIMEOUT_S,
    "socket_keepalive": True,
    "health_check_interval": SOCKET_TIMEOUT_S,
}


_REFUSED = 2
"""The exit code of whoever cannot start as it was asked to; as of the command line."""


class App(Celery):
    """Celery's app, in which whatever is sent by name goes in by the door."""

    def send_task(self, name: str, *args: Any, **options: Any) -> Any:
        """Put it on the queue that requests come in by, whichever queue was named.

        There it is accepted or becomes a letter. Flower's API would otherwise put it onto a queue
        that nobody reads, or straight onto an agent's, which takes only what an owner has signed. A
        worker sends nothing: its agents ask their owner.
        """
        if self.conf.task_queues:
            return super().send_task(name, *args, **options)
        kept = {option: value for option, value in options.items() if option not in _ADDRESS}
        return super().send_task(name, *args, queue=Queue(settings.keys.submissions), **kept)


_ADDRESS = frozenset({"queue", "exchange", "exchange_type", "routing_key"})
"""Where to send it, in a sender's own words."""


def configured(settings: Settings) -> Celery:
    """Make the app; nothing is connected yet."""
    channel.install()
    made = App("buckstop", broker=_broker_url(settings.url), set_as_current=True)
    made.conf.update(
        broker_transport_options=_transport_options(settings.url),
        broker_use_ssl=tls_of(settings.url) or False,
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,
        task_serializer="json",
        accept_content=["json"],
        result_backend=None,
        task_ignore_result=True,
        task_acks_late=False,
        task_track_started=False,
        task_create_missing_queues=False,
        task_default_queue=settings.keys.submissions,
        worker_prefetch_multiplier=1,
        worker_enable_prefetch_count_reduction=False,
        worker_cancel_long_running_tasks_on_connection_loss=True,  # none is acked late, so none is
        worker_send_task_events=False,
        worker_hijack_root_logger=False,
        worker_consumer=f"{__name__}:{Consumer.__name__}",
    )
    made.steps["worker"].add(_Ending)
    made.steps["consumer"].add(panel.Announcing)
    return made


def _broker_url(url: str) -> str:
    """Write the URL as Kombu does; behind Sentinels it names the first of them."""
    kept = Sentinels.of(url)
    if kept is None:
        return url.replace("unix://", "redis+socket://", 1)
    user = quote(kept.username or "", safe="")
    password = quote(kept.password or "", safe="")
    host, port = kept.hosts[0]
    return f"sentinel://{user}:{password}@{host}:{port}/{kept.db}"


def _transport_options(url: str) -> dict[str, Any]:
    tcp_only = {"socket_keepalive", "socket_connect_timeout"} if url.startswith("unix:") else set()
    chosen = {name: value for name, value in _TRANSPORT.items() if name not in tcp_only}
    if (kept := Sentinels.of(url)) is None:
        return chosen
    # What is asked of a worker about its settings is shown by Flower, so no password is in them.
    named = {"sentinels": without_password(url), "master_name": kept.service}
    return chosen | named | {"sentinel_kwargs": asking(kept)}


class Consumer(CeleryConsumer):
    """Celery's consumer, without what claims make needless."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """Leave out greeting the other workers, which takes a second at each connect."""
        super().__init__(*args, **(kwargs | {"without_mingle": True, "without_gossip": True}))

    def on_close(self) -> None:
        """Keep what is in hand when the connection is lost: a claim outlives a connection.

        Celery would drop it here and count on the broker to deliver it again.
        """


class _Ending(bootsteps.StartStopStep):
    """Lets the shift end when Celery does, for whatever reason."""

    requires = ("celery.worker.components:Pool",)

    def __init__(self, worker: Any, **kwargs: Any) -> None:
        super().__init__(worker, **kwargs)

    def start(self, _worker: Any) -> None:
        """Begin the shift, now that the pool is there."""
        _current().begin()

    def close(self, _worker: Any) -> None:
        """Fetch no more, and give back what has not begun."""
        _current().stop()


def _task_of(agent: Agent) -> type[Task]:
    """Make the Celery task that runs an agent."""

    def run(self: Task, payload: str) -> Outcome:
        return _current().run(agent, getattr(self.request, GRANT), payload)

    return type(
        agent.name,
        (Task,),
        {
            "name": agent.task_name,
            "run": run,
            "Request": f"{Request.__module__}:{Request.__name__}",
            "ignore_result": True,
            "send_events": False,  # Celery's own; what is sent instead says request.py
            "typing": False,
        },
    )


# --- a worker starts -----------------------------------------------------------------------------

shift: Shift | None = None


def _current() -> Shift:
    assert shift is not None, "agents run in a worker, and no worker has started in this process"
    return shift


@signals.celeryd_init.connect  # type: ignore[untyped-decorator]
def _prepare(instance: Any, **_: Any) -> None:
    """Learn the agents before Celery asks for its queues; say what is missing, and the cure."""
    log.start()  # until Celery says how much is to be logged
    log.tame(instance)
    try:
        settings.require_public_keys()
        agents = _agents(settings.modules)
    except SettingsError as error:
        _cannot_start(error)
    for each in agents:
        app.register_task(_task_of(each)())
    app.conf.task_queues = [Queue(settings.keys.queue(each.name)) for each in agents]
    app.amqp.__dict__.pop("queues", None)


def _cannot_start(error: SettingsError) -> NoReturn:
    """End with a code that says: starting again is of no use before something is mended."""
    sys.stderr.write(f"buckstop worker: {error}\n")
    sys.exit(_REFUSED)


def _place(error: BaseException) -> str:
    """Return the line to blame; one that is no Python was never run, and names itself."""
    if isinstance(error, SyntaxError):
        return f"{error.filename}:{error.lineno}"
    last = traceback.extract_tb(error.__traceback__)[-1]
    return f"{last.filename}:{last.lineno}"


def _agents(modules: Sequence[str]) -> list[Agent]:
    if (here := str(Path.cwd())) not in sys.path:  # Celery's own look here is over by now
        sys.path.insert(0, here)
    for module in modules:
        try:
            importlib.import_module(module)
        except ModuleNotFoundError as error:
            raise SettingsError(
                f"the module {module} cannot be imported: {error}; looked in {Path.cwd()} and in "
                f"what is installed for {sys.executable}"
            ) from error
        except (Exception, SystemExit) as error:  # else Celery goes on with a worker without agents
            raise SettingsError(
                f"the module {module} cannot be imported: {type(error).__name__}: {error}; "
                f"mend {_place(error)}"
            ) from error
    if not registry and modules:
        named = ", ".join(modules)
        raise SettingsError(f'no agent is declared in {named}; put @agent("name") on a function')
    if not registry:
        raise SettingsError(
            "there is no agent to run; name the modules with agents in BUCKSTOP_AGENTS, or: "
            "buckstop worker MODULE"
        )
    return list(registry.values())


@signals.worker_init.connect  # type: ignore[untyped-decorator]
def _open(sender: Any, **_: Any) -> None:
    """Put the gate in front of the queues."""
    global shift  # noqa: PLW0603 - one worker per process
    agents = list(registry.values())
    shift = Request.shift = Shift(station, lambda: _slots(sender), forks=_forks(sender))
    station.about |= {
        "agents": [each.name for each in agents],
        "concurrency": sender.concurrency,
        "declares": {each.name: each.facts() for each in agents},
        "keys": [key_id(each) for each in settings.require_public_keys()],
    }
    station.make()
    intake = Intake(
        station.direct,
        shift.held,
        station.beat,
        Verifier(settings.require_public_keys()),
        frozenset(each.task_name for each in agents),
    )
    queues = frozenset(settings.keys.queue(each.name) for each in agents)
    channel.Post.open(intake, settings.keys, queues)
    panel.show_queues(station, queues)
    if not _forks(sender):  # else each child exports by itself, for threads do not survive a fork
        station.export()


def _slots(worker: Any) -> int:
    return int(worker.pool.num_processes if worker.pool else worker.concurrency)


def _forks(worker: Any) -> bool:
    pool = worker.pool_cls if isinstance(worker.pool_cls, str) else worker.pool_cls.__module__
    return "prefork" in pool


@signals.worker_ready.connect  # type: ignore[untyped-decorator]
def _announce(**_: Any) -> None:
    """Tell the orchestrator which agents there are, on a thread: the server may be away."""
    Thread(target=_register, daemon=True).start()


def _register() -> None:
    """Say which agents run here, and from then on in each beat that they do."""
    station.claims.register({name: each.facts() for name, each in registry.items()})
    station.about |= {"registered": True}
    station.beat.soon()


@signals.worker_process_init.connect  # type: ignore[untyped-decorator]
def _in_a_child(**_: Any) -> None:
    station.make()
    station.export()


@signals.worker_process_shutdown.connect  # type: ignore[untyped-decorator]
def _leave_a_child(**_: Any) -> None:
    station.close_exports()


@signals.setup_logging.connect  # type: ignore[untyped-decorator]
def _log(loglevel: int, **_: Any) -> None:
    log.start(loglevel)
    app.log.redirect_stdouts()


@signals.worker_shutting_down.connect  # type: ignore[untyped-decorator]
def _told_to_stop(how: str, **_: Any) -> None:
    if shift is not None:
        shift.stop(at_once=how == "Cold")


@signals.worker_shutdown.connect  # type: ignore[untyped-decorator]
def _wait_for_the_end(**_: Any) -> None:
    if shift is not None:
        shift.wait()
    station.close_exports()


try:
    settings = Settings.read()
except SettingsError as error:
    _cannot_start(error)
station = Station(settings)
app = configured(settings)
