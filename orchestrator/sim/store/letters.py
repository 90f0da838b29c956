"""Dead letters, as envelopes/lua/_letter.lua and lua/settle_message.lua keep them."""

import json
import re
from collections.abc import Mapping
from dataclasses import asdict
from heapq import heappush
from typing import Final

from envelopes import limits
from envelopes.keys import TENANT_DEFAULT, base_of
from envelopes.ledger import Amounts
from envelopes.letter import Facet
from envelopes.strict import Refused
from orchestrator.core.commands import Note
from orchestrator.sim.store.checks import named
from orchestrator.sim.store.news import DECIDED, FILED
from orchestrator.sim.store.part import digits
from orchestrator.sim.store.tasks import SimTasks
from orchestrator.store import LetterClosed, MessageDecision, MessageSettled

_ONE_WORD: Final = re.compile(r"[\n|]")


class SimLetters(SimTasks):
    """What waits for a person, or has waited."""

    def letter(self, letter_id: str) -> dict[str, bytes] | None:
        """Return a dead letter, open or decided."""
        self._expire()
        return dict(self.desk[letter_id]) if letter_id in self.desk else None

    def file(self, letter_id: str, fields: Mapping[str, str | bytes | int]) -> None:
        """Put a dead letter on the desk, and tell of it, unless it is there already."""
        is_new = letter_id not in self.desk
        if is_new:
            self.told = [*self.told, letter_id][-limits.DEAD_LETTERS_MAX :]
        whose = self._addressee(str(fields["queue"])) if "queue" in fields else {}
        about = {**fields, **whose}
        about |= {facet: _ONE_WORD.sub(" ", str(about.get(facet, ""))) for facet in Facet}
        about.setdefault("filed_ms", self.clock())
        if whose:  # no task waits on a message, so no owner of one sees to its due time
            about["due_ms"] = int(about["filed_ms"]) + limits.MESSAGE_LETTER_MS
        self.desk[letter_id] = {
            name: value if isinstance(value, bytes) else str(value).encode()
            for name, value in {"state": "open", **about}.items()
        }
        if about["reason"] != "unread":
            kind, reason = str(about["kind"]), str(about["reason"])
            self.counters[f"filed:{kind}:{reason}"] += 1
        told = {**self.desk[letter_id], "letter": letter_id.encode()}
        self.told_news.tell("letter.filed" if is_new else "letter.refiled", FILED, told)

    def _addressee(self, queue: str) -> dict[str, str]:
        """Say whose a message is by the queue it was found on."""
        ours, stem = queue.startswith(self.keys.queue("")), len(self.keys.queue(""))
        agent, _, tenant = queue[stem:].partition("@") if ours else ("", "", "")
        return {"agent": agent, "tenant": tenant or TENANT_DEFAULT}

    def settle_message(self, decision: MessageDecision, op: str) -> MessageSettled | None:
        """Put a message that was set aside back on its queue, or let it go; the first one wins."""
        return self.send("settle_message", lambda: self._settle_message(decision, op))

    def _settle_message(self, d: MessageDecision, op: str) -> MessageSettled | None:
        if d.verb not in {"replay", "discard"}:
            raise Refused("verb", "of a message it is replay or discard")
        named(op)
        letter = self.desk.get(d.letter)
        if letter is None:
            return None
        if "queue" not in letter:
            raise Refused("letter", "a task waits on it, and no message")
        if letter["state"] != b"open":
            verb, by, why = (letter[name].decode() for name in ("verb", "by", "decided_why"))
            ours, decided_ms = letter.get("decided_op") == op.encode(), int(letter["decided_ms"])
            return MessageSettled(verb, by, why, decided_ms, ours)
        if d.verb == "replay":
            self._put_back(letter)
        letter["decided_op"] = op.encode()
        self._close_message(LetterClosed(d.letter, d.verb, d.by, d.why))
        return MessageSettled(d.verb, d.by, d.why, self.clock(), ours=True)

    def _put_back(self, letter: Mapping[str, bytes]) -> None:
        raw, queue = letter["bytes"], letter["queue"].decode()
        if int(letter["size"]) != len(raw):
            kept = f"only the first {len(raw)} of {int(letter['size'])} bytes were kept"
            raise Refused("verb", kept)
        at_the_door = queue == self.keys.submissions
        if not (at_the_door or queue.startswith(self.keys.queue(""))):
            raise Refused("verb", "the message was found on a queue that is none of ours")
        self.queues[queue].appendleft(raw)
        if not at_the_door:
            self.lanes.open(queue)
            self.ring(self.keys.queue_bell(base_of(queue)))
        self.counters["messages_replayed_bytes"] += len(raw)

    def _close_message(self, closed: LetterClosed) -> None:
        """Close the letter of a message, and tell of it in the journal of its task, if any."""
        self._close(closed, self.clock() + limits.RETENTION_S * 1000)
        self.counters[f"messages_{closed.verb}ed"] += 1
        task_id = self.desk[closed.letter].get("task", b"").decode()
        if task_id in self.records:
            self._add_lines(task_id, [self._noted(task_id, closed)])

    def _close(self, c: LetterClosed, expires_ms: int) -> None:
        self.desk.setdefault(c.letter, {}).update(
            {
                "state": b"decided",
                "verb": c.verb.encode(),
                "by": c.by.encode(),
                "decided_why": c.why.encode(),
                "decided_ms": digits(self.clock()),
            }
        )
        told = {**self.desk[c.letter], "letter": c.letter.encode()}
        self.told_news.tell("letter.decided", DECIDED, told)
        heappush(self._expiry, (expires_ms, "letter", c.letter))

    def _noted(self, task_id: str, closed: LetterClosed) -> bytes:
        """Write a line as the core does; the books are as the last line has them."""
        lines = self.journals.get(task_id, ())
        books = json.loads(lines[-1]) if lines else {}
        nothing = asdict(Amounts())
        text = f"{closed.verb} by {closed.by} of the message in letter {closed.letter}"
        said = {
            "at_ms": self.clock(),
            "why": f"message_{closed.verb}",
            "text": f"{text}: {closed.why}" if closed.why else text,
            "spent": books.get("spent", nothing),
            "reserved": books.get("reserved", nothing),
        }
        return json.dumps(dict.fromkeys(Note.__struct_fields__) | said).encode()

    def calibration(self) -> list[bytes]:
        """Return what people thought of results that agents were sure of, oldest first."""
        return list(self.judged)
