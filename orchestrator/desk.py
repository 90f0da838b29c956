"""The desk of a deployment: letters that wait for a person, and what a person says of them.

The part of the client (client.py) that people and their tools use. The first decision on a letter
wins; who comes second is told who was first.

Not here: what a decision leads to (the core), what a letter looks like on a screen (cli/).
"""

import json
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from envelopes import limits
from envelopes.decision import Decision, Verb
from envelopes.letter import Facet, LetterKind
from envelopes.scripts import new_op
from envelopes.strict import Refused
from envelopes.versions import written_for_anybody
from orchestrator.amendment import amendment_faults
from orchestrator.answers import (
    DecidedAll,
    DecidedLetter,
    NotFound,
    Preview,
    TimedOut,
    none_or_several,
)
from orchestrator.following import REREAD_S
from orchestrator.records import Records
from orchestrator.store import MessageDecision
from orchestrator.wanted import ALL, Page, Place, Wanted, page_of

DECIDED_WITHIN_S = 10.0
"""How long to wait for an orchestrator to act on a decision before saying that none has."""
AT_ONCE = 8
"""Letters decided side by side, where many are decided alike: orchestrators act in batches."""
SAMPLE = 5
"""Letters shown of many that would be decided alike."""
_LETTER_TEXTS = (
    *("kind", "reason", "why", "agent", "tenant", "task", "step"),
    *("state", "verb", "by", "decided_why", "decided_as", "said"),
)


class Desk:
    """What waits for a person. Safe to share between threads."""

    store: Records

    def letters(
        self, count: int = 20, before: Place | None = None, wanted: Wanted = ALL
    ) -> Page[dict[str, Any]]:
        """Return open letters that are wanted, newest first, as `tasks` does."""
        shown, next_ = page_of(self.store.find_letters(wanted, count + 1, before), count)
        stored = zip(shown, self.store.read_letters(shown), strict=True)
        return Page([_letter(each, fields) for each, fields in stored if fields], next_)

    def letter_counts(self, facet: Facet, wanted: Wanted = ALL) -> dict[str, int]:
        """Count open letters that are wanted by kind, reason, agent or tenant, the most in front.

        What many letters have in common is one cause.
        """
        return self.store.group_letters(facet, wanted)

    def letter(self, letter_id: str) -> dict[str, Any]:
        """Return one letter, open or decided, or raise NotFound."""
        stored = self.store.letter(letter_id)
        if not stored:
            raise NotFound(f"no letter {letter_id!r}; see which are open: buckstop letters")
        return _letter(letter_id, stored)

    def check_amendment(self, letter_id: str, result: Any) -> list[tuple[str, str]]:
        """Say where (as a JSON pointer) and why a result would be refused as an amendment.

        An empty list means that it would be delivered. Nothing is decided. Raise NotFound where
        the letter or its task is not there any more, and Refused where no task waits on it.
        """
        letter = self.letter(letter_id)
        if LetterKind(letter["kind"]).of_a_message:
            raise Refused("verb", f"{letter_id} is a message that no task waits on: replay|discard")
        if letter["allowed"] and Verb.AMEND not in letter["allowed"]:
            raise Refused("verb", f"{letter_id} takes no result; say {_verbs(letter)}")
        stored = self.store.task(letter["task"])
        if stored is None:
            raise none_or_several(letter["task"])
        return amendment_faults(letter_id, letter["task"], stored, result)

    def decide(self, decision: Decision, timeout: float = DECIDED_WITHIN_S) -> DecidedLetter:
        """Decide a letter and wait until an orchestrator has acted on it.

        The first decision wins: `first` says whether this one was it, and the rest whose was. The
        same one by the same name, sent again because its answer was lost, is still the first.
        Raise TimedOut where no orchestrator is at work; the decision is kept for when one is.
        """
        letter = self.letter(decision.letter)
        if LetterKind(letter["kind"]).of_a_message:
            return self._settle_message(decision)
        if decision.verb.of_a_message:
            raise Refused("verb", f"a task waits on {decision.letter}; say {_verbs(letter)}")
        if letter["state"] == "open":
            letter = self._acted_on(decision, letter["task"], timeout)
        return DecidedLetter.told(decision, letter)

    def preview(self, wanted: Wanted, verb: Verb) -> Preview:
        """Say what a decision on every open letter that is wanted would be about."""
        found = self.letters(limits.PAGE_MAX, wanted=wanted).items
        fit = [each for each in found if verb in each["allowed"]]
        return Preview(
            letters=self.store.count_letters(wanted),
            looked_at=len(found),
            refusing=len(found) - len(fit),
            sample=(fit or found)[:SAMPLE],
        )

    def decide_all(
        self, wanted: Wanted, decision: Decision, timeout: float = DECIDED_WITHIN_S
    ) -> DecidedAll:
        """Decide every open letter that is wanted alike; which one the decision names is ignored.

        Each is a decision of its own, recorded with its task. Raise TimedOut where no orchestrator
        is at work; what was decided until then stays so, and saying it again does the rest.
        """
        found = [each.id for each in self.store.find_letters(wanted, limits.LETTERS_MAX)]
        alike = (decision.model_copy(update={"letter": letter}) for letter in found)
        with ThreadPoolExecutor(AT_ONCE) as threads:
            said = list(threads.map(lambda one: self._decided_or_refused(one, timeout), alike))
        done = [each for each in said if isinstance(each, DecidedLetter)]
        refused = zip(found, said, strict=True)
        return DecidedAll(
            decided=sum(each.first for each in done),
            before=sum(not each.first for each in done),
            refused={letter: why for letter, why in refused if isinstance(why, str)},
        )

    def _decided_or_refused(self, decision: Decision, timeout: float) -> DecidedLetter | str:
        try:
            return self.decide(decision, timeout)
        except (Refused, NotFound) as wrong:
            return str(wrong)

    def _settle_message(self, decision: Decision) -> DecidedLetter:
        """Do what is said of a message that was set aside: at once, for no task waits on it."""
        d = decision
        if not d.verb.of_a_message:
            raise Refused("verb", f"{d.letter} is a message that no task waits on: replay|discard")
        said = MessageDecision(d.letter, d.verb, d.by, d.why)
        settled = self.store.settle_message(said, new_op())
        if settled is None:
            raise NotFound(f"letter {d.letter!r} has expired; see which are open: buckstop letters")
        s = settled
        return DecidedLetter(d.letter, s.ours, s.verb, s.by, s.why, s.decided_ms)

    def _acted_on(self, decision: Decision, task_id: str, timeout: float) -> dict[str, Any]:
        """Post a decision and return the letter once it is decided, by this decision or another."""
        give_up = time.monotonic() + timeout
        text = written_for_anybody("decision", decision).encode()
        if len(text) > (most := limits.ENVELOPE_BYTES_MAX):
            raise Refused("result", f"the decision has {len(text):,} bytes; {most:,} are taken")
        with self.store.events(task_id) as events:
            before = set(self.store.journal(task_id))
            if not self.store.post(task_id, b"decide\n" + text, new_op()):
                return self._left_behind(decision.letter, task_id)
            while (left := give_up - time.monotonic()) > 0:
                letter = self.letter(decision.letter)
                if letter["state"] != "open":
                    return letter
                new = [
                    json.loads(line) for line in self.store.journal(task_id) if line not in before
                ]
                if refused := [note["text"] for note in new if note["why"] == "refused_decision"]:
                    raise Refused("verb", f"{refused[0]}; the letter stays open")
                events.get(min(REREAD_S, left))
        raise TimedOut(
            f"nobody acted on the decision of {decision.letter} within {timeout:g} s; it is kept, "
            "but is an orchestrator running? start one with: buckstop serve"
        )

    def _left_behind(self, letter_id: str, task_id: str) -> dict[str, Any]:
        """Return the letter of a task that is over: somebody has just decided it, or nobody can."""
        letter = self.letter(letter_id)
        if letter["state"] == "open":
            raise NotFound(
                f"the task of letter {letter_id!r} is over or gone, and nobody waits for a "
                "decision; take it away with what is left of the task: "
                f"buckstop purge {task_id} --yes"
            )
        return letter


def _letter(letter_id: str, stored: Mapping[str, bytes]) -> dict[str, Any]:
    """Read a letter's hash; what is not there is said to be nothing."""
    letter: dict[str, Any] = dict.fromkeys(_LETTER_TEXTS, "") | {"id": letter_id, "story": None}
    for name, value in stored.items():
        if name == "story":
            letter[name] = json.loads(value)
        elif name.endswith("_ms") or name in {"size", "hop"}:
            letter[name] = int(value)
        else:
            letter[name] = value.decode("utf-8", "backslashreplace")
    letter["allowed"] = _allowed(letter, stored)
    story = letter["story"] or {"if_nobody_decides": Verb.DISCARD.value}
    letter["if_nobody_decides"] = story.get("if_nobody_decides", Verb.ABORT.value)
    return letter


def _allowed(letter: Mapping[str, Any], stored: Mapping[str, bytes]) -> list[str]:
    """Say what can be decided: nothing once somebody has, and no replay of half a message."""
    if letter["state"] != "open":
        return []
    if letter["story"] is not None:
        return list(letter["story"].get("allowed", ()))
    whole = int(stored.get("size", b"0")) == len(stored.get("bytes", b""))
    return [verb for verb in Verb if verb.of_a_message and (whole or verb is not Verb.REPLAY)]


def _verbs(letter: Mapping[str, Any]) -> str:
    return "|".join(letter["allowed"]) or "nothing: it is decided"
