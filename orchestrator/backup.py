"""Take a snapshot of a running server, and make a data directory from one.

    size = take(client, Path("buckstop.rdb"))      while everything runs
    restore(Path("buckstop.rdb"), Path("data"))    for a server that is to go on from there

A snapshot is asked for as a replica would ask for its first copy: the server forks, and sends what
it had at that moment. Tasks, mail, alarms, claims and queues are in it as of one instant, so it is
never in contradiction with itself. Nothing stands still meanwhile.

A server with an append-only file reads that file alone when it starts, and a snapshot beside it is
ignored. So `restore` lets a server read the snapshot without such a file, and then write one.
"""

import os
import shutil
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from redis import Redis
from redis.exceptions import RedisError, ResponseError

from orchestrator.embedded import EmbeddedError, EmbeddedServer

_PIECE: Final = 1 << 20
_SILENCE_S: Final = 60
"""While it prepares a snapshot, a server says a line feed each second."""
_MARK_BYTES: Final = 40
"""What ends a snapshot whose length was not known when it began."""
_MAGIC: Final = (b"REDIS", b"VALKEY")
_SNAPSHOT: Final = "dump.rdb"
_LOOK_EVERY_S: Final = 0.05


class BackupError(Exception):
    """There is no snapshot, or no directory of one; the message says why, and what to do."""


def take(client: Redis, file: Path) -> int:
    """Write a snapshot to a file, which is there as a whole or not at all; return its size."""
    draft = file.with_name(f"{file.name}.part")
    try:
        with draft.open("wb") as sink:
            os.fchmod(sink.fileno(), 0o600)  # it holds what the tasks are about
            for piece in _snapshot(client):
                sink.write(piece)
            sink.flush()
            os.fsync(sink.fileno())
        _check(draft)
        size = draft.stat().st_size
        draft.replace(file)
    finally:
        draft.unlink(missing_ok=True)
    return size


def restore(file: Path, directory: Path, binary: Path | None = None) -> int:
    """Make a directory that a server starts from; return how many keys are in it."""
    _check(file)
    if directory.exists() and any(directory.iterdir()):
        raise BackupError(f"{directory} is not empty; name a directory that is new")
    _make_private(directory)
    try:
        return _written(file, directory, binary)
    except (EmbeddedError, RedisError) as error:
        shutil.rmtree(directory)
        raise BackupError(
            f"no server here can read {file}: it is cut short, or a newer server wrote it. "
            "Nothing was restored; take another copy"
        ) from error


def _make_private(directory: Path) -> None:
    """Make the directory, or take one that is there, for its owner alone."""
    try:
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        directory.chmod(0o700)
    except OSError as error:
        raise BackupError(
            f"{directory} cannot be made, or not be kept from others: {error}; name a directory "
            "that is new, where you may write"
        ) from None


def _written(file: Path, directory: Path, binary: Path | None) -> int:
    """Let a server read the snapshot and write its append-only file; return how many keys."""
    snapshot = directory / _SNAPSHOT
    shutil.copyfile(file, snapshot)
    with (
        EmbeddedServer(directory, binary, {"appendonly": "no"}) as server,
        Redis.from_url(server.url, socket_timeout=_SILENCE_S) as client,
    ):
        client.config_set("appendonly", "yes")
        _wait_until_written(client)
        keys = int(client.dbsize())
    snapshot.unlink()
    return keys


def _snapshot(client: Redis) -> Iterator[bytes]:
    """Ask as a replica does, and yield the snapshot in pieces."""
    pool: Any = client.connection_pool
    connection: Any = pool.get_connection()
    try:
        for about in (("capa", "eof"), ("rdb-only", "1")):  # servers before 7.0 know not both
            connection.send_command("REPLCONF", *about)
            with suppress(ResponseError):
                connection.read_response()
        connection.send_command("SYNC")
        line = connection._sock  # noqa: SLF001 -- a snapshot is no reply that redis-py could read
        line.settimeout(_SILENCE_S)
        yield from _received(line)
    finally:
        connection.disconnect()
        pool.release(connection)


def _received(line: Any) -> Iterator[bytes]:
    """Read what follows SYNC: line feeds, `$` and a length or a mark, and the snapshot."""
    head = b""
    while not head.endswith(b"\r\n"):
        head = (head + _some(line, 1)).lstrip(b"\n")
    said = head.strip()
    if not said.startswith(b"$"):
        why = said.decode(errors="replace")[:200]
        raise BackupError(
            f"the server gives no snapshot ({why}); it takes a primary, and a user who may SYNC, "
            "such as admin"
        )
    if said.startswith(b"$EOF:"):
        yield from _up_to(line, said[len(b"$EOF:") :])
    else:
        yield from _counted(line, int(said[1:]))


def _counted(line: Any, left: int) -> Iterator[bytes]:
    while left:
        piece = _some(line, min(left, _PIECE))
        left -= len(piece)
        yield piece


def _up_to(line: Any, mark: bytes) -> Iterator[bytes]:
    """Yield all before the mark, of which any piece may hold the beginning."""
    tail = b""
    while not tail.endswith(mark):
        tail += _some(line, _PIECE)
        if not tail.endswith(mark):
            yield tail[:-_MARK_BYTES]
            tail = tail[-_MARK_BYTES:]
    yield tail[:-_MARK_BYTES]


def _some(line: Any, most: int) -> bytes:
    piece: bytes = line.recv(most)
    if not piece:
        raise BackupError("the server hung up in the middle; see its log, and try again")
    return piece


def _check(file: Path) -> None:
    try:
        with file.open("rb") as source:
            head = source.read(16)
    except OSError as error:
        raise BackupError(f"{file} cannot be read: {error}") from None
    if not head.startswith(_MAGIC):
        raise BackupError(f"{file} is no snapshot: it begins with {head[:9]!r}, not with REDIS")


def _wait_until_written(client: Redis) -> None:
    """Return once the append-only file holds everything."""
    while True:
        info = client.info("persistence")
        if not info["aof_rewrite_in_progress"] and not info["aof_rewrite_scheduled"]:
            break
        time.sleep(_LOOK_EVERY_S)
    if info["aof_last_bgrewrite_status"] != "ok":
        raise BackupError("the append-only file could not be written; free space on the disk")
