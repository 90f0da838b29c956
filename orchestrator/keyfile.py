"""Ed25519 key pairs as files.

    signing.key   the private half, for orchestrators only, readable by its owner only
    signing.pub   the public halves, one per line, for workers; while a key is being replaced, two

Each key is 32 bytes as urlsafe base64 text. A key file is never overwritten: messages signed with a
lost key could not be told from forged ones.
"""

import os
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

PRIVATE = "signing.key"
PUBLIC = "signing.pub"
_KEY_BYTES = 32


class KeyFileError(Exception):
    """A key file that is missing, unreadable or in the way; the message says what to do."""


@dataclass(frozen=True, slots=True)
class KeyPair:
    """Where a pair of key files is."""

    private: Path
    public: Path

    @classmethod
    def in_directory(cls, directory: Path) -> "KeyPair":
        """Name the pair's files in a directory."""
        return cls(directory / PRIVATE, directory / PUBLIC)


def make(directory: Path) -> KeyPair:
    """Make a new pair, or raise KeyFileError where there is one already."""
    pair = KeyPair.in_directory(directory)
    if pair.public.exists():
        raise KeyFileError(_in_the_way(pair.public))
    directory.mkdir(parents=True, exist_ok=True)
    key = Ed25519PrivateKey.generate()
    _write_new(pair.private, encode(key.private_bytes_raw()), 0o600)
    _write_new(pair.public, encode(key.public_key().public_bytes_raw()), 0o644)
    return pair


def ensure(directory: Path) -> KeyPair:
    """Return the pair in a directory; make it where there is none."""
    pair = KeyPair.in_directory(directory)
    if not pair.private.exists():
        return make(directory)
    if not pair.public.exists():  # we died between the two files; the public half can be derived
        _write_new(pair.public, encode(public_of(read_private(pair.private))), 0o644)
    return pair


def read_private(path: Path) -> bytes:
    """Read an orchestrator's key."""
    return decode(_read(path).strip(), str(path))


def read_public(path: Path) -> list[bytes]:
    """Read the keys that workers trust."""
    lines = [line.strip() for line in _read(path).splitlines() if line.strip()]
    if not lines:
        raise KeyFileError(f"{path} holds no key; make a pair with: buckstop keys")
    return [decode(line, f"{path}, line {number}") for number, line in enumerate(lines, 1)]


def public_of(private_key: bytes) -> bytes:
    """Return the public half of a private key."""
    return Ed25519PrivateKey.from_private_bytes(private_key).public_key().public_bytes_raw()


def encode(key: bytes) -> str:
    """Write a key as text."""
    return urlsafe_b64encode(key).decode()


def decode(text: str, where: str) -> bytes:
    """Read a key from text, or raise KeyFileError naming where it stands, never what it says."""
    try:
        key = urlsafe_b64decode(text)
    except ValueError:
        key = b""
    if len(key) != _KEY_BYTES:
        raise KeyFileError(
            f"{where}: not a key ({_KEY_BYTES} bytes as urlsafe base64 are one); "
            "make a pair with: buckstop keys"
        )
    return key


def joined(keys: Sequence[bytes]) -> str:
    """Write several public keys as one text, as workers take them from their environment."""
    return "\n".join(encode(key) for key in keys)


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii")
    except (OSError, ValueError) as error:
        raise KeyFileError(f"{path} cannot be read: {error}") from None


def _write_new(path: Path, text: str, mode: int) -> None:
    try:
        file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    except FileExistsError:
        raise KeyFileError(_in_the_way(path)) from None
    try:
        with os.fdopen(file, "w") as new:
            new.write(text + "\n")
    except OSError:  # half a key is worse than none: it would be in the way of the next one
        path.unlink()
        raise


def _in_the_way(path: Path) -> str:
    return (
        f"{path} exists already and is never overwritten; use it, or choose another directory "
        "with --dir"
    )
