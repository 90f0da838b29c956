"""Hold what was promised against what was seen: read from ledgers, journals and letters alone."""

import json
from collections import Counter
from dataclasses import dataclass
from typing import Any

from rich.table import Table

from orchestrator.demo.stage import Seen


@dataclass(frozen=True)
class Promise:
    """A line of the closing table."""

    promised: str
    seen: str
    kept: bool


def promises(plan: Seen, spender: Seen, pair: Seen, quote: Seen) -> list[Promise]:
    """Hold what happened against what is promised."""
    lost = [note for note in plan.journal if note["why"] == "lost"]
    again = [n for n in _published(plan) if lost and n["step"] == lost[0]["step"]]
    gap_s = (again[-1]["at_ms"] - again[0]["at_ms"]) / 1000 if len(again) > 1 else 0
    published = Counter(note["subtask"] for note in _published(plan))
    spent, ceiling = spender.task.ledger.spent.tokens, spender.task.ledger.ceiling.tokens
    decided = [note for note in quote.journal if note["why"] == "decided"]
    drafts = spender.task.result["drafts"] if spender.task.result else 0
    return [
        Promise(
            "a killed worker's step runs again elsewhere",
            f"{len(lost)} lost, re-issued {gap_s:.1f} s after it began; {plan.task.state}",
            bool(lost) and plan.task.state == "completed",
        ),
        Promise(
            "a subtask id runs at most once",
            f"{len(published)} ids, each published once",
            max(published.values()) == 1,
        ),
        Promise(
            "paid work of the killed worker is booked",
            f"{lost[0]['charged']['tokens'] if lost else 0} tokens settled from its meter",
            bool(lost) and lost[0]["charged"]["tokens"] > 0,
        ),
        Promise(
            "no call that could overrun is made",
            f"{spent:,} of {ceiling:,} tokens spent, {drafts} drafts kept; {spender.task.state}",
            spent <= (ceiling or 0) and spender.task.state == "partial",
        ),
        Promise(
            "twelve hops, then the owner decides",
            f"{pair.task.hop} hops, stopped by {pair.task.stop_reason}; {pair.task.state}",
            pair.task.hop == pair.task.hops_max and pair.task.stop_reason == "hop_cap",
        ),
        Promise(
            "what was produced is delivered",
            json.dumps(pair.task.result),
            pair.task.state == "partial" and pair.task.result is not None,
        ),
        Promise(
            "below the bar, a person has the last word",
            f"{', '.join(note['text'] for note in decided)}; {quote.task.state}",
            len(decided) == 1 and quote.task.final,
        ),
        Promise(
            "every task ends in exactly one outcome, with nothing reserved",
            ", ".join(seen.task.state for seen in (plan, spender, pair, quote)),
            all(
                seen.task.final and seen.task.ledger.reserved.tokens == 0
                for seen in (plan, spender, pair, quote)
            ),
        ),
    ]


def _published(seen: Seen) -> list[dict[str, Any]]:
    return [note for note in seen.journal if note["why"] == "publish"]


def closing_table(kept: list[Promise]) -> Table:
    """Lay the promises out."""
    table = Table(title="\nWhat was promised, and what was seen", title_justify="left")
    table.add_column("promised")
    table.add_column("seen")
    table.add_column("")
    for promise in kept:
        table.add_row(
            promise.promised, promise.seen, "[green]kept[/]" if promise.kept else "[red]BROKEN[/]"
        )
    return table
