"""Sign webhooks as the Standard Webhooks specification says, so that any of its libraries verifies.

    webhook-id          the same at every attempt: what a receiver remembers
    webhook-timestamp   seconds since 1970 at this attempt: what a replay cannot have
    webhook-signature   "v1," and the base64 of HMAC-SHA256 over "id.timestamp.body"; one for each
                        secret, with a blank between them, while a secret is being replaced

A secret is written whsec_ and the base64 of its bytes.
"""

import base64
import hmac
import secrets
from collections.abc import Mapping, Sequence
from typing import Final

from envelopes import limits

_PREFIX: Final = "whsec_"


def new_secret() -> str:
    """Make a secret that cannot be guessed."""
    key = secrets.token_bytes(limits.HOOK_SECRET_BITS // 8)
    return _PREFIX + base64.b64encode(key).decode("ascii")


def signed(message: str, at_ms: int, body: bytes, keys: Sequence[str]) -> Mapping[str, str]:
    """Return the headers that prove a body to be ours, to whoever knows one of the secrets."""
    timestamp = str(at_ms // 1000)
    text = f"{message}.{timestamp}.".encode() + body
    return {
        "webhook-id": message,
        "webhook-timestamp": timestamp,
        "webhook-signature": " ".join(_signature(key, text) for key in keys),
    }


def _signature(secret: str, text: bytes) -> str:
    key = base64.b64decode(secret.removeprefix(_PREFIX))
    return "v1," + base64.b64encode(hmac.digest(key, text, "sha256")).decode("ascii")
