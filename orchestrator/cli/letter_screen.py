"""How letters look in a terminal: a list, causes by number, and one letter to be decided.

A page answers in this order what a person asks: what is wanted of me, what can I say and until
when, what is it about, and only then how it came to this. What agents and strangers wrote is shown
as text and nothing else: no markup of theirs, no control character reaches the terminal.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from envelopes.limits import MICROS_PER_USD
from orchestrator.clock import moment

_SAID: Final[Mapping[str, str]] = {
    "approve": "approve  # deliver what is kept",
    "amend": "amend --result JSON  # deliver this instead",
    "answer": "answer --answer TEXT  # tell the agent, which goes on",
    "retry": "retry [--tokens N] [--usd N] [--hops N] [--time 5m] [--to AGENT]  # go on, with more",
    "reassign": "reassign --to AGENT  # let another agent do it",
    "abort": "abort  # end it; what is kept stays with the task",
    "replay": "replay  # put the message back on its queue",
    "discard": "discard  # let the message go",
}
"""How each decision is given, and what it does."""
_WHY_CHARS: Final = 200
_KEPT_CHARS: Final = 2_000


def letter_table(letters: Sequence[Mapping[str, Any]]) -> Table:
    """List letters; where there are several cells, also in which each is."""
    cells = ("cell",) if any("cell" in letter for letter in letters) else ()
    table = Table(box=None)
    for name in ("letter", *cells, "kind", "reason", "agent", "due"):
        table.add_column(name, no_wrap=True)
    table.add_column("why", overflow="fold")
    for letter in letters:
        due_ms = letter.get("due_ms")
        table.add_row(
            *(letter["id"], *(letter[name] for name in cells), letter["kind"]),
            Text(_plain(letter["reason"])),
            Text(_plain(letter["agent"])),
            moment(due_ms) if due_ms else "",
            Text(_line(letter["why"], _WHY_CHARS)),
        )
    return table


def cause_table(facet: str, counted: Mapping[str, int]) -> Table:
    """List what letters have in common, the most frequent first."""
    table = Table(facet, "letters", box=None)
    for value, letters in counted.items():
        table.add_row(Text(_plain(value) or "(none)"), f"{letters:,}")
    return table


def letter_line(letter: Mapping[str, Any]) -> str:
    """Say the most important of a letter on one line."""
    about = " ".join(part for part in (letter["kind"], letter["reason"], letter["agent"]) if part)
    filed = moment(letter["filed_ms"])
    return f"{filed}  {letter['id']}  {about}: {_line(letter['why'], _WHY_CHARS)}"


def letter_page(letter: Mapping[str, Any]) -> RenderableType:
    """Draw one letter with everything a person needs to decide."""
    story = letter["story"] or {}
    head = Text.assemble((f"{letter['kind']}, {letter['state']}", "bold"), f"  {letter['id']}")
    parts: list[RenderableType] = [head, Text(f"  {_plain(letter['why'])}", style="bold"), Text()]
    parts += [
        Text(_plain(line)) for line in (*_decisions(letter, story), "", *_facts(letter, story))
    ]
    if trail := story.get("trail"):
        parts += [Text("\nhow it came to this, the latest last"), _trail(trail)]
    return Group(*parts)


def _decisions(letter: Mapping[str, Any], story: Mapping[str, Any]) -> Iterator[str]:
    if letter["state"] != "open":
        decided = f"{letter['verb']} by {letter['by']}, {moment(letter['decided_ms'])}"
        why = letter["decided_why"]
        yield f"decided: {decided}: {why}" if why else f"decided: {decided}"
        if letter["said"]:
            yield f"         {_line(letter['said'], _KEPT_CHARS)}"
        return
    if question := story.get("question"):
        yield from [f"  choose: {' | '.join(question['choices'])}"] * bool(question["choices"])
    until = "whenever you like"
    if due_ms := letter.get("due_ms"):
        until = f"until {moment(due_ms)}, then: {letter['if_nobody_decides']}"
    yield f"decide {until}"
    yield from (f"  buckstop decide {letter['id']} {_SAID[verb]}" for verb in letter["allowed"])


def _facts(letter: Mapping[str, Any], story: Mapping[str, Any]) -> Iterator[str]:
    told: dict[str, object] = {
        "goal": " / ".join(story.get("goals", ())[:1]),
        "reason": letter["reason"],
        "agent": letter["agent"],
        "step": letter["step"] and f"{letter['step']}, hop {letter.get('hop', 0)}",
        "task": letter["task"] and f"{letter['task']}: buckstop show {letter['task']}",
        "tenant": letter["tenant"],
        "filed": moment(letter["filed_ms"]),
        "spent": _spent(story),
        "kept": _kept(story),
        "queue": letter.get("queue"),
        "size": letter.get("size") and f"{letter['size']:,} bytes, sha256 {letter.get('sha256')}",
        "bytes": letter.get("bytes") and _line(letter["bytes"], _KEPT_CHARS),
    }
    told["kept"] = told["kept"] or (story and "nothing that could be delivered")
    yield from (f"{name:8}  {shown}" for name, shown in told.items() if shown)
    for verdict in story.get("verdicts", ()):
        word = "ok" if verdict["ok"] else "no"
        yield f"verdict   {verdict['by']}: {word} ({verdict['confidence']}) {verdict['reason']}"


def _spent(story: Mapping[str, Any]) -> str:
    spent, ceiling = story.get("spent", {}), story.get("ceiling", {})
    bounded = [name for name in ("tokens", "usd_micros", "calls") if ceiling.get(name) is not None]
    return "; ".join(_amount(n, spent.get(n, 0)) + f" of {_amount(n, ceiling[n])}" for n in bounded)


def _amount(name: str, figure: int) -> str:
    return f"${figure / MICROS_PER_USD:.6f}" if name == "usd_micros" else f"{figure:,} {name}"


def _kept(story: Mapping[str, Any]) -> str:
    if story.get("confidence") is None:
        return ""
    return f"confidence {story['confidence']:.2f}: {_line(str(story['kept']), _KEPT_CHARS)}"


def _trail(trail: Sequence[Mapping[str, Any]]) -> Table:
    table = Table("hop", "step", "agent", "envelope", "reason", box=None)
    for said in trail:
        sure = "" if said["confidence"] is None else f" {said['confidence']:.2f}"
        table.add_row(
            *(str(said["hop"]), Text(said["step"]), Text(said["agent"])),
            said["status"] + sure,
            Text(_plain(said["reason"])),
        )
    return table


def _plain(text: str) -> str:
    return "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in text)


def _line(text: str, chars: int) -> str:
    plain = _plain(" ".join(text.split()))
    return plain if len(plain) <= chars else plain[: chars - 1] + "…"
