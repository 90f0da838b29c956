"""Certificates of our own, and the servers and Sentinels of tests/sentinel that show them."""

import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Self

SERVER = "BUCKSTOP_TLS_SERVER"
"""Names a server program that speaks TLS."""


def find_server() -> Path | None:
    """Find a server program that speaks TLS: it then misses its certificate."""
    named = os.environ.get(SERVER) or shutil.which("redis-server") or shutil.which("valkey-server")
    if named is None or shutil.which("openssl") is None:
        return None
    tried = subprocess.run(
        [named, "--port", "0", "--tls-port", "1"],
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )
    return Path(named) if "Failed to configure TLS" in tried.stdout else None


@dataclass(frozen=True)
class Certificates:
    """An authority, and one certificate of it, by which servers and clients are known."""

    authority: Path
    certificate: Path
    key: Path

    @classmethod
    def make(cls, folder: Path) -> Self:
        """Make them with openssl; they hold for this machine's own address and name."""
        folder.mkdir(parents=True, exist_ok=True)
        made = cls(folder / "ca.crt", folder / "redis.crt", folder / "redis.key")
        _signed(folder / "ca.key", made.authority, "/CN=an authority", [])
        by = ["-CA", str(made.authority), "-CAkey", str(folder / "ca.key")]
        named = ["-addext", "subjectAltName=IP:127.0.0.1,DNS:localhost"]
        _signed(made.key, made.certificate, "/CN=redis", [*by, *named])
        return made

    @property
    def lines(self) -> list[str]:
        """What a server's or a Sentinel's configuration says of them."""
        return [
            f"tls-cert-file {self.certificate}",
            f"tls-key-file {self.key}",
            f"tls-ca-cert-file {self.authority}",
            "tls-replication yes",
        ]

    @property
    def query(self) -> str:
        """What a URL says of them; the servers ask clients for theirs, as they do by default."""
        return (
            f"ssl_ca_certs={self.authority}&ssl_certfile={self.certificate}&ssl_keyfile={self.key}"
        )


def _signed(key: Path, certificate: Path, name: str, more: list[str]) -> None:
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"),
            *("-subj", name, "-keyout", str(key), "-out", str(certificate), *more),
        ],
        check=True,
        capture_output=True,
        timeout=60,
    )
