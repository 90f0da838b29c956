"""The fixtures of the other tests: one real server, and an empty corner of it for each test."""

from tests.conftest import fresh, server

__all__ = ["fresh", "server"]
