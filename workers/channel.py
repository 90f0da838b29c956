"""The gate and the fast path, in front of Celery.

A Kombu Redis transport whose channel, for the queues of agents, does three things differently:

    waits   on the queues' bells instead of popping messages one by one (BLPOP bell ...); a message
            that rang no bell, because a stranger put it there, is found after a second
    takes   as many messages as there is room for in one script, which records their claims too
            (intake.py), and hands on only those that pass the gate
    acks    nothing: a claim is what an acknowledgement would be, and better

Where Sentinels keep the server, its connections are theirs to find. Kombu's own transport for that
would have no gate; ours is known by an option, and any other `sentinel://` of this process is left
to Kombu.

All else (remote control, events, the queues of other programs) is Kombu's own. Registered under the
names of the stock transports, so that a broker URL is as Celery and Flower know it.

Whoever frees a slot rings by a byte in a pipe, which wakes Celery's hub. Without a hub
(`drain_events`) the poller looks before it waits.
"""

import logging
import socket
from collections.abc import Callable
from contextlib import suppress
from queue import Empty
from time import monotonic, sleep
from typing import Any

from kombu.transport import TRANSPORT_ALIASES, redis, virtual
from redis.connection import Connection, SSLConnection
from redis.exceptions import ConnectionError as ConnectionLost
from redis.exceptions import ResponseError
from redis.sentinel import (
    SentinelConnectionPool,
    SentinelManagedConnection,
    SentinelManagedSSLConnection,
)

from envelopes.address import Sentinels
from envelopes.connection import ask, takes_no_writes
from envelopes.keys import Keys
from workers.intake import GRANT, Intake

log = logging.getLogger("buckstop.channel")

_PAUSE_S = 1.0
"""Before a server that takes no writes is tried again: Celery itself would try at once."""


class Post:
    """Where this process's channels find the intake; empty in a process that runs no agents."""

    intake: Intake | None = None
    keys: Keys = Keys()
    queues: frozenset[str] = frozenset()
    _out, _in = socket.socketpair()

    @classmethod
    def open(cls, intake: Intake, keys: Keys, queues: frozenset[str]) -> None:
        """Let every message of these queues pass through the intake from now on."""
        cls.intake, cls.keys, cls.queues = intake, keys, queues
        cls._out.setblocking(False)
        cls._in.setblocking(False)

    @classmethod
    def ring(cls) -> None:
        """Make the hub come round; from any thread."""
        with suppress(BlockingIOError):  # then so many rings wait already that one more is nothing
            cls._in.send(b"!")

    @classmethod
    def heard(cls) -> None:
        """Forget the rings so far."""
        with suppress(BlockingIOError):
            cls._out.recv(4096)

    @classmethod
    def fileno(cls) -> int:
        """Return where a ring can be read."""
        return cls._out.fileno()


class _QoS(virtual.QoS):
    """Asks for room where Kombu would count what is not acknowledged."""

    def can_consume(self) -> bool:
        """Say whether the channel may read."""
        gated = self.channel.gated
        return bool(super().can_consume()) if gated is None else gated.held.may_fetch(Post.ring)


class _Message(virtual.Message):
    """Kombu's message; one that has passed the gate is decoded already."""

    def __init__(self, payload: dict[str, Any], channel: Any = None, **kwargs: Any) -> None:
        super().__init__(payload, channel, **kwargs)
        if GRANT in self.headers:
            self._decoded_cache = self.body


class _Hearing:
    """Hears from a server that takes no writes (full, or without a replica) as if it were away.

    Waiting at a bell is a write, too. Celery comes again after a lost connection, and gives up its
    whole process after any other error.
    """

    def read_response(self, *args: Any, **kwargs: Any) -> Any:
        try:
            return super().read_response(*args, **kwargs)  # type: ignore[misc] # Redis's connection
        except ResponseError as error:
            if not takes_no_writes(error):
                raise
            log.warning("the server takes no writes now", extra={"error": str(error)})
            self.disconnect()  # type: ignore[attr-defined] # the same
            sleep(_PAUSE_S)
            raise ConnectionLost(f"the server takes no writes now: {error}") from None


class _Direct(_Hearing, Connection):
    """A connection to a server."""


class _Encrypted(_Hearing, SSLConnection):
    """The same, by TLS."""


class _Kept(_Hearing, SentinelManagedConnection):
    """The same, to a server that Sentinels keep."""


class _KeptEncrypted(_Hearing, SentinelManagedSSLConnection):
    """The same, by TLS."""


class Channel(redis.Channel):
    """Kombu's channel, with a gate in front of the agents' queues."""

    Message = _Message
    from_transport_options: Any = (*redis.Channel.from_transport_options, "sentinels")
    connection_class: Any = _Direct
    connection_class_ssl: Any = _Encrypted
    sentinels: str | None = None
    """The URL of a server that Sentinels keep, without its password; Kombu's names one of them."""

    def __init__(self, connection: Any, *args: Any, **kwargs: Any) -> None:
        if "sentinels" in connection.client.transport_options:  # Kombu connects while it is made
            self.connection_class, self.connection_class_ssl = _Kept, _KeptEncrypted
        super().__init__(connection, *args, **kwargs)
        self.QoS = _QoS  # type: ignore[assignment] # a plain class attribute to Kombu
        self._listens = False

    @property
    def gated(self) -> Intake | None:
        """Return the intake if this channel consumes an agent's queue."""
        return Post.intake if Post.queues.intersection(self._active_queues) else None

    def basic_consume(self, queue: str, no_ack: bool, *args: Any, **kwargs: Any) -> Any:  # noqa: FBT001
        """Consume; what comes through the gate is not acknowledged."""
        return super().basic_consume(queue, no_ack or queue in Post.queues, *args, **kwargs)

    def _brpop_start(self, timeout: float | None = None) -> None:
        """Wait for a bell, unless there is more to fetch anyway."""
        intake = self.gated
        self._listens = intake is not None
        if intake is None:
            super()._brpop_start(timeout)
        elif intake.more:
            Post.ring()
        else:
            bells = [Post.keys.queue_bell(queue) for queue in self.active_queues]
            connection: Any = self.client.connection
            self._in_poll = connection
            self._brpop_sent_at = monotonic()  # type: ignore[assignment] # None until then
            connection.send_command("BLPOP", *bells, timeout or self.brpop_timeout)

    def _brpop_read(self, **options: Any) -> bool:
        """Read the bell, or that none rang, and fetch either way.

        A channel that is being closed consumes no queue any more, and still reads its reply.
        """
        if not self._listens:
            return bool(super()._brpop_read(**options))
        try:
            self.client.parse_response(self.client.connection, "BLPOP", **options)
        except self.connection_errors:
            self.client.connection.disconnect()
            raise
        finally:
            self._in_poll = False
        if self._closing or not self.take():
            raise Empty
        return True

    def take(self) -> bool:
        """Fetch once and deliver what passes; say whether anything did."""
        intake, delivered = self.gated, False
        if intake is not None and self._consumers:
            try:
                for queue, message in intake.take(self.active_queues):
                    self.connection._deliver(message, queue)  # noqa: SLF001 - as Kombu's own does
                    delivered = True
            except ResponseError as error:
                if not takes_no_writes(error):
                    raise
                log.warning("the server takes no writes now", extra={"error": str(error)})
        return delivered

    def _connparams(self, asynchronous: bool = False) -> dict[str, Any]:  # noqa: FBT001, FBT002
        """Say "connection lost" where Celery 5.7 closes a channel whose connection is gone.

        Without this its worker ends with an AttributeError when Redis is away for two seconds.
        """
        if self.connection is None or self.connection.client is None:
            raise ConnectionLost("the connection of this channel is gone")
        params: dict[str, Any] = super()._connparams(asynchronous=asynchronous)
        return params

    def _get_pool(self, asynchronous: bool = False) -> Any:  # noqa: FBT001, FBT002 - Kombu's
        """Make the pool; behind Sentinels each new connection asks them where the server is."""
        if self.sentinels is None:
            return super()._get_pool(asynchronous=asynchronous)
        kept = Sentinels.of(self.sentinels)
        assert kept is not None, "the app names them only where there are some"
        params = self._connparams(asynchronous=asynchronous)
        self.keyprefix_fanout = self.keyprefix_fanout.format(db=params["db"])
        elsewhere = {"host", "port"}
        known = {name: value for name, value in params.items() if name not in elsewhere}
        return SentinelConnectionPool(kept.service, ask(kept), **known)


class _Poller(redis.MultiChannelPoller):
    def get(self, callback: Callable[..., Any], timeout: float | None = None) -> Any:
        """Take what is left over before waiting for anything new: here, no hub is woken."""
        if self.take_more():
            return None
        return super().get(callback, timeout=timeout)

    def take_more(self) -> bool:
        """Fetch for every channel that has left messages behind and has room."""
        ready = [
            channel
            for channel in list(self._channels)
            if channel.gated and channel.gated.more and channel.qos.can_consume()
        ]
        return any([channel.take() for channel in ready])  # noqa: C419 - each must take


class Transport(redis.Transport):
    """Kombu's transport with our channel."""

    Channel = Channel

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.cycle: Any = _Poller()

    def register_with_event_loop(self, connection: Any, loop: Any) -> None:
        """Let the hub drive this transport, and listen for free slots."""
        super().register_with_event_loop(connection, loop)
        loop.add_reader(Post.fileno(), self._on_ring)

    def _on_ring(self) -> None:
        Post.heard()
        self.cycle.take_more()


class SentinelTransport(Transport):
    """The same for a server that Sentinels keep, where it is ours."""

    def __new__(cls, client: Any, **kwargs: Any) -> Any:
        """Leave to Kombu what does not name our Sentinels."""
        if "sentinels" in client.transport_options:
            return super().__new__(cls)
        return redis.SentinelTransport(client, **kwargs)


def install() -> None:
    """Make this the transport of every `redis://` and `rediss://` in this process, and of ours."""
    for name in ("redis", "rediss"):
        TRANSPORT_ALIASES[name] = f"{__name__}:{Transport.__name__}"
    TRANSPORT_ALIASES["sentinel"] = f"{__name__}:{SentinelTransport.__name__}"
