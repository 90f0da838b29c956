"""Signatures that only an orchestrator can make and any worker can check.

Ed25519, because with a shared secret every worker could mint budget. One signature costs 50 µs to
make and about 100 to check, too much for each message of a stage of a thousand; so the messages of
one commit are leaves of a Merkle tree, the root is signed once, and each message carries its path
to the root. A worker checks a path with a few hashes and remembers the roots whose signature held.

    seal text = key id . signature . leaf number . path hash . path hash ...

The leaf is the hash of the header text as it travels; the headers hold the body's hash.
"""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from hashlib import sha256

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

ROOTS_REMEMBERED = 4096
"""Verified stages a worker keeps in mind: about half a megabyte."""
_LEAF, _NODE = b"\0", b"\1"  # a node can never pass for a leaf


class Forged(Exception):
    """A message that no orchestrator of ours has signed."""


class Signer:
    """The orchestrator's half."""

    def __init__(self, private_key: bytes) -> None:
        self._key = Ed25519PrivateKey.from_private_bytes(private_key)
        self.key_id = key_id(self._key.public_key().public_bytes_raw())

    def seal(self, texts: Sequence[bytes]) -> list[str]:
        """Sign all texts at once; return a seal for each."""
        levels = _levels([sha256(_LEAF + text).digest() for text in texts])
        root = levels[-1][0]
        prefix = f"{self.key_id}.{_text(self._key.sign(root))}"
        return [
            ".".join((prefix, str(number), *map(_text, _path(levels, number))))
            for number in range(len(texts))
        ]


class Verifier:
    """A worker's half: public keys only."""

    def __init__(self, public_keys: Sequence[bytes]) -> None:
        self._keys: Mapping[str, Ed25519PublicKey] = {
            key_id(raw): Ed25519PublicKey.from_public_bytes(raw) for raw in public_keys
        }
        self._roots: OrderedDict[tuple[str, bytes, str], None] = OrderedDict()

    def check(self, text: bytes, seal: str) -> None:
        """Raise Forged unless one of our keys has signed this very text."""
        try:
            key, signature, number, *path = seal.split(".")
            root = _climb(sha256(_LEAF + text).digest(), int(number), [_raw(p) for p in path])
        except ValueError:
            raise Forged("the seal cannot be read") from None
        if (key, root, signature) not in self._roots:
            self._check_root(key, root, signature)
            self._roots[key, root, signature] = None
            if len(self._roots) > ROOTS_REMEMBERED:
                self._roots.popitem(last=False)

    def _check_root(self, key: str, root: bytes, signature: str) -> None:
        known = self._keys.get(key)
        if known is None:
            raise Forged(f"signed with key {key[:16]!r}, which is none of ours")
        try:
            known.verify(_raw(signature), root)
        except (InvalidSignature, ValueError):
            raise Forged("the signature does not fit the message") from None


def key_id(public_key: bytes) -> str:
    """Name a key by its own fingerprint."""
    return sha256(public_key).hexdigest()[:16]


def _levels(leaves: list[bytes]) -> list[list[bytes]]:
    """Build the tree from its leaves up; a node without a sibling moves up as it is."""
    levels = [leaves]
    while len(levels[-1]) > 1:
        below = levels[-1]
        above = [
            sha256(_NODE + below[i] + below[i + 1]).digest() for i in range(0, len(below) - 1, 2)
        ]
        levels.append(above + below[len(above) * 2 :])
    return levels


def _path(levels: list[list[bytes]], number: int) -> list[bytes]:
    """List the siblings on the way to the root; an empty one where there is none."""
    path = []
    for level in levels[:-1]:
        sibling = number ^ 1
        path.append(level[sibling] if sibling < len(level) else b"")
        number //= 2
    return path


def _climb(digest: bytes, number: int, path: list[bytes]) -> bytes:
    for sibling in path:
        if sibling:
            pair = sibling + digest if number & 1 else digest + sibling
            digest = sha256(_NODE + pair).digest()
        number //= 2
    return digest


def _text(raw: bytes) -> str:
    return urlsafe_b64encode(raw).rstrip(b"=").decode()


def _raw(text: str) -> bytes:
    return urlsafe_b64decode(text + "=" * (-len(text) % 4))
