"""Where the server is, whom to believe, and which agents to run: read once, from the environment.

    BUCKSTOP_URL               redis://host:6379/0, or redis+sentinel://host:26379,host/service/0
    BUCKSTOP_PASSWORD_FILE     a file with the password of the URL's user, where the URL has none
    BUCKSTOP_PREFIX            of every key; "buckstop:" unless said otherwise
    BUCKSTOP_AGENTS            modules with agents, separated by commas
    BUCKSTOP_PUBLIC_KEYS       keys of the orchestrators, as text, one per line or word
    BUCKSTOP_PUBLIC_KEYS_FILE  ... or a file with them
    BUCKSTOP_GRACE             seconds to end what is under way after SIGTERM

`buckstop worker` and `buckstop up` set them for the workers they start.
"""

import os
import re
from base64 import urlsafe_b64decode
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

from envelopes.environ import SettingsError as SettingsError  # noqa: PLC0414 -- it is ours as well
from envelopes.environ import content, seconds, server_url
from envelopes.keys import PREFIX_DEFAULT, Keys
from envelopes.limits import GRACE_DEFAULT_S

URL_DEFAULT = "redis://127.0.0.1:6379/0"
_KEY_BYTES = 32


@dataclass(frozen=True, slots=True)
class Settings:
    """What a worker needs to know before it can start."""

    url: str = URL_DEFAULT
    keys: Keys = Keys()  # noqa: RUF009 - frozen, so one is as good as many
    modules: tuple[str, ...] = ()
    public_keys: tuple[bytes, ...] = ()
    grace_s: float = GRACE_DEFAULT_S

    @classmethod
    def read(cls, environ: Mapping[str, str] = os.environ) -> Self:
        """Read the settings, or raise SettingsError naming the variable."""
        return cls(
            url=server_url(
                "BUCKSTOP_URL",
                environ.get("BUCKSTOP_URL") or URL_DEFAULT,
                environ.get("BUCKSTOP_PASSWORD_FILE"),
            ),
            keys=Keys(environ.get("BUCKSTOP_PREFIX") or PREFIX_DEFAULT),
            modules=tuple(re.findall(r"[\w.]+", environ.get("BUCKSTOP_AGENTS", ""))),
            public_keys=_public_keys(environ),
            grace_s=seconds(environ, "BUCKSTOP_GRACE", GRACE_DEFAULT_S),
        )

    def require_public_keys(self) -> tuple[bytes, ...]:
        """Return the keys, or raise SettingsError: without one, every message looks forged."""
        if not self.public_keys:
            raise SettingsError(
                "a worker runs only what an orchestrator has signed and knows no orchestrator's "
                "key; set BUCKSTOP_PUBLIC_KEYS_FILE to the signing.pub that `buckstop keys` made"
            )
        return self.public_keys


def _public_keys(environ: Mapping[str, str]) -> tuple[bytes, ...]:
    source, text = "BUCKSTOP_PUBLIC_KEYS", environ.get("BUCKSTOP_PUBLIC_KEYS", "")
    if not text and (file := environ.get("BUCKSTOP_PUBLIC_KEYS_FILE")):
        source, text = file, content("BUCKSTOP_PUBLIC_KEYS_FILE", file)
    return tuple(_key(word, f"{source}, key {n}") for n, word in enumerate(_words(text), 1))


def _words(text: str) -> list[str]:
    return re.split(r"[\s,]+", text.strip()) if text.strip() else []


def _key(text: str, where: str) -> bytes:
    try:
        key = urlsafe_b64decode(text)
    except ValueError:
        key = b""
    if len(key) != _KEY_BYTES:
        raise SettingsError(f"{where}: not a key ({_KEY_BYTES} bytes as urlsafe base64 are one)")
    return key
