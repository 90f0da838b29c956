"""Scenarios: what happened, and what the core made of it, as texts that a person can read.

Each file in tests/scenarios is a headline and a few lines of prose, then commands with the core's
answer underneath. `pytest tests/test_scenarios.py --rewrite` writes the answers anew; what it wrote
is reviewed as prose.

    > task                     followed by the request, indented: submitted, and woken at once
    > agents a:b,c b:a         registered agents, and to whom each may hand over
    > skills a:dig,cut b:dig   registered agents, and what each can do
    > sees a shut              the breaker of a is open; `sees a room 1`: one more message may go
                               there; `sees a free`: any number
    > fetch 1 2                workers take these messages from their queues
    > beat 1 · charge 1 50     a worker lives · its meter charges 50 tokens
    > gone 1 · forget 1        its message is not on the queue any more · Redis lost its claim
    > clock +10s               time passes, and the task wakes
    > envelope 1 {…}           a worker's envelope; `charged` in it is what its meter had charged
    > decision {…}             a person's decision, on the open letter unless it names another
    > cancel ann: why          a caller's wish to stop
    > next                     the task sleeps until its alarm rings
"""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from play import Play, request

from envelopes import Amounts, Envelope, Limits
from orchestrator.core.commands import (
    CloseLetter,
    Command,
    Conclude,
    Decision,
    Escalate,
    Leave,
    Look,
    Note,
    Publish,
    Settle,
    Wait,
)

FOLDER = Path(__file__).parent / "scenarios"
FILES = sorted(FOLDER.glob("*.txt"))
SHORT = 90
"""Payloads and results longer than this are cut: a scenario is read, not parsed."""


class Story:
    """Plays one scenario, command by command."""

    def __init__(self) -> None:
        self.play: Play | None = None
        self.seen = 0

    def run(self, command: str, body: str) -> list[str]:
        """Do one command, and tell what the core did."""
        verb, _, words = command.partition(" ")
        if verb == "task":
            self.play = Play(request(**yaml.safe_load(body)))
            return self._told(self.play.wake())
        assert self.play is not None, "a scenario begins with its task"
        decision = getattr(self, f"_{verb}")(self.play, words)
        return [] if decision is None else self._told(decision)

    # --- commands --------------------------------------------------------------------------------

    def _agents(self, play: Play, words: str) -> None:
        for word in words.split():
            name, _, others = word.partition(":")
            play.knows(**{name: tuple(filter(None, others.split(",")))})

    def _skills(self, play: Play, words: str) -> None:
        for word in words.split():
            name, _, can = word.partition(":")
            play.skilled(**{name: tuple(filter(None, can.split(",")))})

    def _sees(self, play: Play, words: str) -> None:
        name, how, *room = words.split()
        match how:
            case "shut":
                play.sees(name, shut=True, room=0)
            case "room":
                play.sees(name, room=int(room[0]))
            case "free":
                play.sees(name, shut=False, room=None)
            case _:
                raise AssertionError(f"an agent is shut, free, or has room: not {how}")

    def _fetch(self, play: Play, words: str) -> None:
        play.fetch(*map(int, words.split()))

    def _beat(self, play: Play, words: str) -> None:
        for subtask in words.split():
            play.beat(int(subtask))

    def _charge(self, play: Play, words: str) -> None:
        subtask, tokens = words.split()
        play.charge(int(subtask), int(tokens))

    def _gone(self, play: Play, words: str) -> None:
        play.lose_message(int(words))

    def _forget(self, play: Play, words: str) -> None:
        play.lose_record(int(words))

    def _clock(self, play: Play, words: str) -> Decision:
        return play.wake(after_ms=round(float(words.strip("+s")) * 1000))

    def _next(self, play: Play, words: str) -> Decision:
        assert not words
        assert play.last.alarm_ms is not None, "a task that has ended sleeps for ever"
        return play.wake(after_ms=max(0, play.last.alarm_ms - play.now_ms))

    def _envelope(self, play: Play, words: str) -> Decision:
        subtask, _, text = words.partition(" ")
        value = yaml.safe_load(text)
        charged = value.pop("charged", 0)
        envelope = Envelope.model_validate_json(json.dumps(value))
        return play.answer(int(subtask), envelope, charged)

    def _decision(self, play: Play, words: str) -> Decision:
        return play.decide(**yaml.safe_load(words))

    def _cancel(self, play: Play, words: str) -> Decision:
        by, _, why = words.partition(": ")
        return play.cancel(by, why)

    # --- telling ---------------------------------------------------------------------------------

    def _told(self, decision: Decision) -> list[str]:
        assert self.play is not None
        looks, self.play.looks = self.play.looks, []
        return [
            *map(look_line, looks),
            *(note_line(note) for note in decision.notes if note.why != "publish"),
            *filter(None, map(command_line, decision.commands)),
            *self._standing(decision),
        ]

    def _standing(self, decision: Decision) -> list[str]:
        assert self.play is not None
        task, now_ms = decision.task, self.play.now_ms
        books = f"spent {figures(task.ledger.spent)}, reserved {figures(task.ledger.reserved)}"
        until = "" if decision.alarm_ms is None else f", alarm at {seconds(decision.alarm_ms)}"
        lines = [f"= {seconds(now_ms)} {task.phase}, hop {task.hop}, {books}{until}"]
        if task.outcome is not None:
            sure = "" if task.confidence is None else f", confidence {task.confidence}"
            lines.append(f"= {task.outcome} ({task.stop_reason}){sure}: {short(task.result)}")
        return lines


def look_line(look: Look) -> str:
    if look.revoke:
        return f"? take away {', '.join(map(str, look.revoke))}"
    return f"? look at {', '.join(map(str, look.subtasks))}"


def note_line(note: Note) -> str:
    """Write a line of the journal: the rule, where, and the reason."""
    where = "" if note.step is None else f" {note.step}@{note.agent}"
    subtask = "" if note.subtask is None else f" {note.subtask}"
    parts = [
        note.status and f"{note.status}",
        note.confidence is not None and f"confidence {note.confidence}",
        note.charged is not None and f"charged {figures(note.charged)}",
        note.text,
    ]
    said = "; ".join(str(part) for part in parts if part)
    return f". {note.why}{where}{subtask}{': ' + said if said else ''}"


def command_line(command: Command) -> str | None:
    """Write what leaves the core; settling stands in the journal already."""
    match command:
        case Publish():
            text = json.loads(command.payload)
            given = {k: v for k, v in text.items() if k != "goal" and v not in (None, {})}
            more = f" with {short(json.dumps(given, ensure_ascii=False))}" if given else ""
            return (
                f"→ publish {command.subtask}: {command.step}@{command.agent} hop {command.hop}"
                f" attempt {command.attempt}, may spend {figures(command.allowance)}{more}"
            )
        case Escalate():
            return f"→ letter {command.letter} ({command.kind}), due at {seconds(command.due_ms)}"
        case CloseLetter():
            why = f": {command.why}" if command.why else ""
            return f"→ close letter {command.letter}: {command.verb} by {command.by}{why}"
        case Conclude():
            return f"→ conclude {command.outcome}"
        case Wait():
            return f"→ wait for room at {command.agent}"
        case Leave():
            return f"→ wait at {command.agent} no more"
        case Settle():
            return None


def figures(sums: Amounts | Limits) -> str:
    named = {"tokens": sums.tokens, "µ$": sums.usd_micros, "calls": sums.calls}
    return " ".join(f"{amount:,} {name}" for name, amount in named.items() if amount) or "0"


def seconds(ms: int) -> str:
    return f"{ms / 1000:g}s" if ms < 10**7 else f"{ms / 3_600_000:g}h"


def short(text: str | None) -> str:
    text = text or "nothing"
    return text if len(text) <= SHORT else f"{text[:SHORT]}…"


# --- the files -----------------------------------------------------------------------------------


def blocks(text: str) -> Iterator[tuple[str, str, str]]:
    """Split a scenario into commands, each with what is indented under it."""
    for found in re.finditer(r"^> (.*)\n((?:    .*\n)*)", text, re.MULTILINE):
        yield found[0], found[1].strip(), found[2]


def played(text: str) -> str:
    """Return the scenario as it is when it is played now."""
    story, parts = Story(), [text[: text.index("\n> ")]]
    for head, command, body in blocks(text):
        parts.append("\n".join([head.rstrip("\n"), *story.run(command, body)]) + "\n")
    return "\n".join(parts)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_the_scenario_goes_as_it_is_told(path: Path, *, rewrite: bool) -> None:
    """Unit → scenarios: commands, expected output underneath."""
    text = path.read_text(encoding="utf-8")
    now = played(text)
    if rewrite:
        path.write_text(now, encoding="utf-8")
    assert path.read_text(encoding="utf-8") == now


def test_there_are_scenarios_and_each_begins_with_prose() -> None:
    """A folder that was emptied by accident is no success."""
    assert len(FILES) >= 20
    for path in FILES:
        head = path.read_text(encoding="utf-8").partition("\n> ")[0]
        assert len(head.split()) >= 20, f"{path.name} says too little of what it shows"


def test_a_changed_answer_is_found() -> None:
    """The check above can fail."""
    text = FILES[0].read_text(encoding="utf-8")
    assert played(text.replace("hop 1", "hop 7")) != text.replace("hop 1", "hop 7")
    assert played(text) == text
