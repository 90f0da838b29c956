"""Read recorded traces, and what an independent oracle expects of them.

A trace is one recorded run of somebody else's team of agents: a list of turns, texts replaced by
hashes. Each set is a file of its own, `NAME.SPLIT.jsonl[.gz]`, one trace a line; beside it lies
`oracle.NAME.SPLIT.jsonl[.gz]` with the expected sums and stops, made without any of our code.

Called by replay.py and its parts. Not here: how a turn becomes a message (replay_script.py).
"""

import gzip
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec

from envelopes import Amounts

PAID: Final = frozenset(("work", "dispatch", "internal"))
"""Kinds of turns that a model was paid for; the oracle counts the same three."""


class Turn(msgspec.Struct, frozen=True):
    """One recorded turn."""

    i: int
    agent: str
    kind: str
    nsha: str = ""
    """The hash of its text, whatever the punctuation, case and spacing."""
    to: str = ""
    tok: int = 0
    attempt: int = 1
    t: float = 0
    """Seconds since the run began."""


class Trace(msgspec.Struct, frozen=True):
    """One recorded run."""

    id: str
    outcome: str
    turns: tuple[Turn, ...]
    answer_first_turn: int | None = None
    """Where the right answer was said first."""

    @property
    def paid(self) -> list[Turn]:
        """Return the turns that a model was paid for."""
        return [turn for turn in self.turns if turn.kind in PAID]

    def costs(self) -> dict[int, Amounts]:
        """Return what each paid turn cost: its own tokens, and those with their whole context.

        The ledger has no dimension of its own for the second, so it travels as micro-dollars.
        """
        costs, context = {}, 0
        for turn in self.turns:
            context = turn.tok if turn.kind == "restart" else context + turn.tok
            if turn.kind in PAID:
                costs[turn.i] = Amounts(tokens=turn.tok, usd_micros=context, calls=1)
        return costs


class Expected(msgspec.Struct, frozen=True):
    """What the oracle says of one trace."""

    id: str
    tok_out: int
    tok_ctx: int
    stop: Mapping[str, int | None]
    """By guard: the turn at which it fires first."""


@dataclass(frozen=True, slots=True)
class Recorded:
    """One set of traces."""

    name: str
    traces: tuple[Trace, ...]
    expected: Mapping[str, Expected]
    """By trace; empty where no oracle came with the set."""


def read(folder: Path) -> list[Recorded]:
    """Read every set in a folder."""
    paths = sorted(path for path in folder.iterdir() if ".jsonl" in path.suffixes)
    oracles = {_plain(path): path for path in paths if path.name.startswith("oracle.")}
    sets = (path for path in paths if path not in oracles.values())
    return [_read_set(path, oracles.get(f"oracle.{_plain(path)}")) for path in sets]


def read_traces(path: Path) -> tuple[Trace, ...]:
    """Read the runs of one file."""
    return tuple(msgspec.json.decode(line, type=Trace) for line in _lines(path))


def _plain(path: Path) -> str:
    return path.name.removesuffix(".gz")


def _read_set(path: Path, oracle: Path | None) -> Recorded:
    lines = () if oracle is None else _lines(oracle)
    expected = (msgspec.json.decode(line, type=Expected) for line in lines)
    return Recorded(
        name=_plain(path).removesuffix(".jsonl"),
        traces=read_traces(path),
        expected={each.id: each for each in expected},
    )


def _lines(path: Path) -> Iterator[bytes]:
    with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
        yield from file
