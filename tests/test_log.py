"""One JSON object per line, whatever is said; and no password."""

import io
import json
import logging

import pytest

from envelopes.lines import JsonLines
from orchestrator import log
from orchestrator.log import without_password


@pytest.fixture
def said() -> io.StringIO:
    return io.StringIO()


@pytest.fixture
def logger(said: io.StringIO) -> logging.Logger:
    lines = logging.StreamHandler(said)
    lines.setFormatter(JsonLines(process="test"))
    logger = logging.getLogger("buckstop.test")
    logger.handlers[:], logger.propagate = [lines], False
    logger.setLevel(logging.INFO)
    return logger


def test_every_line_is_one_json_object(logger: logging.Logger, said: io.StringIO) -> None:
    """Invariant 16: every log line is one JSON object."""
    logger.info("two\nlines", extra={"task": "7f3a", "why": {"plan_done": 1}, "path": object()})
    logger.warning("%s of %d", "one", 2)
    try:
        int("wrong\nvalue")
    except ValueError:
        logger.exception("it failed")
    first, second, third = map(json.loads, said.getvalue().splitlines())
    assert (first["said"], first["task"], first["why"]) == ("two\nlines", "7f3a", {"plan_done": 1})
    assert (first["level"], first["log"], first["process"]) == ("info", "buckstop.test", "test")
    assert first["at"].endswith("Z")
    assert second["said"] == "one of 2"
    assert third["error"].startswith("ValueError(")
    assert "test_log.py" in third["trace"]


def test_what_a_library_says_twice_is_said_once(logger: logging.Logger, said: io.StringIO) -> None:
    """A server's line in colours is for a terminal, not for whoever reads JSON."""
    logger.info("running on %s", "x", extra={"color_message": "running on \x1b[1m%s"})
    assert "color" not in said.getvalue()
    assert json.loads(said.getvalue())["said"] == "running on x"


def test_starting_sends_all_of_the_process_to_one_stream(
    said: io.StringIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Libraries' lines are JSON too."""
    root = logging.getLogger()
    before, level = root.handlers[:], root.level
    try:
        log.start(stream=said, pid=7)
        logging.getLogger("some.library").warning("hm")
    finally:
        root.handlers[:] = before
        root.setLevel(level)
    assert json.loads(said.getvalue())["pid"] == 7


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("redis://:secret@host:6379/0", "redis://:***@host:6379/0"),
        ("rediss://user:s%40c@host/1", "rediss://user:***@host/1"),
        ("redis://host:6379/0", "redis://host:6379/0"),
        ("unix:///run/redis?db=1&password=s3cret", "unix:///run/redis?db=1&password=***"),
    ],
)
def test_a_password_is_not_shown(url: str, shown: str) -> None:
    """Invariant 16: no planted secret appears in logs."""
    assert without_password(url) == shown
