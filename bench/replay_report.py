"""Count what the replays came to: against the oracle, and against how the runs really ended.

A *false stop* is a run that succeeded and would have been stopped. It need not be a loss: a stop
delivers what is kept, and `answers_in_hand` counts the false stops that delivered a turn at or
after the one in which the right answer was said first.

What a stop *saves* is what the run cost when it was let go to its end, less what the core had
booked when it stopped it. `tok_out` are tokens written; `tok_ctx` counts the context too that each
call paid for once more.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from bench.replay_core import FREE, GUARDS, MORE, Ending, play
from bench.replay_script import liberties
from bench.replay_traces import Expected, Recorded, Trace
from envelopes import Amounts, limits

SUCCESS: Final = "success"
TEAM: Final = limits.HOLDERS_MIN
"""Fewer agents than this cannot help being taken for a ping-pong."""


@dataclass(frozen=True, slots=True)
class Replayed:
    """One run, under each guard."""

    trace: Trace
    expected: Expected
    endings: dict[str, Ending]

    @property
    def disagreements(self) -> list[str]:
        """Say where the core stops it elsewhere than the oracle says."""
        return [
            f"{self.trace.id}: {guard.name} at {ending.stop}, expected {wanted}"
            for guard in GUARDS
            if (ending := self.endings[guard.name]).stop
            != (wanted := self.expected.stop[guard.name])
        ]

    @property
    def sums_differ(self) -> bool:
        """Say whether the ledger of a task that ran to its end has other sums than the oracle."""
        wanted = self.expected.tok_out, self.expected.tok_ctx
        to_its_end = [ending.spent for ending in self.endings.values() if ending.stop is None]
        return any((spent.tokens, spent.usd_micros) != wanted for spent in to_its_end)

    @property
    def lost(self) -> bool:
        """Say whether it was left without an ending."""
        return any(ending.lost for ending in self.endings.values())

    @property
    def is_a_team(self) -> bool:
        """Say whether enough agents spoke to be none."""
        return len({turn.agent for turn in self.trace.paid}) >= TEAM


def replay(recorded: Recorded) -> list[Replayed]:
    """Play every run of a set under every guard, each by itself, and under all together."""
    return [
        Replayed(
            trace,
            recorded.expected[trace.id],
            {each.name: play(trace, each, each.read(trace)) for each in (FREE, *GUARDS, *MORE)},
        )
        for trace in recorded.traces
    ]


def of_set(runs: Sequence[Replayed]) -> dict[str, Any]:
    """Report one set of runs."""
    teams = [run for run in runs if run.is_a_team]
    return {
        "traces": len(runs),
        "outcomes": dict(Counter(run.trace.outcome for run in runs)),
        "liberties": _liberties(runs),
        "mismatches": sum(len(run.disagreements) for run in runs),
        "token_mismatches": sum(run.sums_differ for run in runs),
        "lost": sum(run.lost for run in runs),
        "guards": {guard.name: _of_guard(runs, guard.name) for guard in (*GUARDS, *MORE)}
        | {f"{guard.name}, {TEAM}+ agents": _of_guard(teams, guard.name) for guard in MORE},
    }


def _liberties(runs: Sequence[Replayed]) -> dict[str, int]:
    taken: Counter[str] = Counter()
    for run in runs:
        taken.update(liberties(run.trace))  # adding two counters would leave out what is none
    return dict(taken)


def _of_guard(runs: Sequence[Replayed], name: str) -> dict[str, Any]:
    stopped = [run for run in runs if run.endings[name].stop is not None]
    false = [run for run in stopped if run.trace.outcome == SUCCESS]
    successes = sum(run.trace.outcome == SUCCESS for run in runs)
    return {
        "runs": len(runs),
        "stopped": len(stopped),
        "rules": dict(Counter(run.endings[name].why for run in stopped)),
        "successes": successes,
        "false_stops": len(false),
        "false_stop_share": _share(len(false), successes),
        "answers_in_hand": sum(_in_hand(run, name) for run in false),
        "saved": {
            outcome: _saved([run for run in runs if run.trace.outcome == outcome], name)
            for outcome in sorted({run.trace.outcome for run in runs} - {SUCCESS})
        },
    }


def _in_hand(run: Replayed, name: str) -> bool:
    said, delivered = run.trace.answer_first_turn, run.endings[name].delivered
    return said is not None and delivered is not None and delivered >= said


def _saved(runs: Sequence[Replayed], name: str) -> dict[str, float]:
    """Return what is saved on these runs, and which share of all that they cost."""
    whole = sum((run.endings[FREE.name].spent for run in runs), Amounts())
    saved = whole - sum((run.endings[name].spent for run in runs), Amounts())
    return {
        "tok_out": saved.tokens,
        "tok_out_share": _share(saved.tokens, whole.tokens),
        "tok_ctx": saved.usd_micros,
        "tok_ctx_share": _share(saved.usd_micros, whole.usd_micros),
    }


def _share(part: int, whole: int) -> float:
    return round(part / whole, 4) if whole else 0.0
