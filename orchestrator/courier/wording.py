"""What a notification says: what happened, why, how many, until when, and what to do. Pure.

It is read on a phone, by somebody who was doing something else. What agents and strangers have said
is in it, and it is hostile until shown otherwise: it is cut, it loses every character that is not
seen, and those that some service reads as markup (a link, a mention of everybody) are replaced by
ones that look alike and mean nothing.
"""

import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import quote

from envelopes import limits

_WIDE: Final = 0xFEE0
"""From an ASCII character to its full-width form, which looks alike and is no markup to anybody."""
_ALIKE: Final = {ord(each): chr(ord(each) + _WIDE) for each in "<>@`*[]|~#\\&"}
"""An underscore stays: names are made of them, and no service does more than slant the text."""
_LINK: Final = ("://", chr(ord(":") + _WIDE) + "//")
_UNSEEN: Final = {"Cc", "Cf", "Co", "Cs", "Cn", "Zl", "Zp"}
_NAME_CHARS: Final = limits.NAME_CHARS_MAX


@dataclass(frozen=True, slots=True)
class Message:
    """A notification, as plain text."""

    title: str
    body: str


@dataclass(frozen=True, slots=True)
class Occasion:
    """What a notification is about."""

    event: str
    facts: Mapping[str, Any]
    """Of the first line of news in it."""
    count: int
    more: bool
    """Others of the same cause were told of a short while ago."""
    due_ms: int | None = None
    """The first moment at which a letter's default applies."""
    default: str = ""
    """What happens then, if nobody decides."""
    console: str | None = None
    """Where the console is."""


def message(occasion: Occasion) -> Message:
    """Put what happened into words."""
    match occasion.event:
        case "letter.filed" | "letter.refiled":
            return _letters(occasion)
        case "letter.decided":
            return _decided(occasion)
        case "task.ended":
            return _ended(occasion)
        case "task.accepted":
            return Message(
                _headed(occasion, "task accepted", "tasks accepted"),
                _lines(occasion, _task(occasion)),
            )
        case "subscription.disabled":
            return _disabled(occasion)
    why = (
        "Somebody tried whether messages of Buckstop arrive here. They do; there is nothing to do."
    )
    return Message("A test of Buckstop", why)


def plain(text: object, chars: int = _NAME_CHARS) -> str:
    """Return a stranger's text as it may stand in a message: seen, short, and no markup."""
    seen = "".join(" " if each.isspace() else each for each in str(text) if _is_seen(each))
    short = " ".join(seen.split())
    short = short if len(short) <= chars else short[: chars - 1] + "…"
    return short.translate(_ALIKE).replace(*_LINK)


def _is_seen(character: str) -> bool:
    return character in "\n\t" or unicodedata.category(character) not in _UNSEEN


def _fact(occasion: Occasion, name: str) -> str:
    return plain(occasion.facts.get(name, ""))


def _headed(occasion: Occasion, one: str, many: str) -> str:
    what = one if occasion.count == 1 else many
    return f"and {occasion.count:,} more {what}" if occasion.more else f"{occasion.count:,} {what}"


def _lines(occasion: Occasion, *lines: str) -> str:
    tenant = _fact(occasion, "tenant")
    return "\n".join(filter(None, (*lines, f"Tenant: {tenant}" if tenant else "")))


def _letters(occasion: Occasion) -> Message:
    agent, reason, kind = (_fact(occasion, name) for name in ("agent", "reason", "kind"))
    cause = (reason or kind) + (f" at {agent}" if agent else "")
    letter = _fact(occasion, "letter")
    wait = "waits for a person" if occasion.count == 1 else "of one cause wait for a person"
    body = _lines(
        occasion,
        f"{_headed(occasion, 'letter', 'letters').capitalize()} {wait}: {kind}, {cause}.",
        f"Why: {plain(occasion.facts.get('why', ''), limits.NOTIFY_WHY_CHARS)}",
        _due(occasion),
        f"Look: buckstop letters show {letter}"
        if occasion.count == 1
        else _all_of(kind, reason, agent),
        _link(occasion, "desk", letter),
    )
    return Message(f"{_headed(occasion, 'letter', 'letters')}: {cause}", body)


def _all_of(kind: str, reason: str, agent: str) -> str:
    given = (("kind", kind), ("reason", reason), ("agent", agent))
    return "Look: buckstop letters " + " ".join(f"--{name} {word}" for name, word in given if word)


def _due(occasion: Occasion) -> str:
    if occasion.due_ms is None:
        return ""
    moment = datetime.fromtimestamp(occasion.due_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M UTC")
    first = "" if occasion.count == 1 else "the first "
    then = plain(occasion.default) or "what was declared for it"
    return f"Due: {first}{moment}; if nobody decides by then: {then}."


def _decided(occasion: Occasion) -> Message:
    verb, by, letter = (_fact(occasion, name) for name in ("verb", "by", "letter"))
    title = f"{_headed(occasion, 'letter', 'letters')} decided: {verb} by {by}"
    return Message(
        title,
        _lines(occasion, f"Look: buckstop letters show {letter}", _link(occasion, "desk", letter)),
    )


def _ended(occasion: Occasion) -> Message:
    outcome, reason = _fact(occasion, "outcome"), _fact(occasion, "stop_reason")
    title = f"{_headed(occasion, 'task', 'tasks')} {outcome}"
    return Message(title, _lines(occasion, f"Why: {reason}" if reason else "", _task(occasion)))


def _disabled(occasion: Occasion) -> Message:
    hook = _fact(occasion, "subscription")
    why = plain(occasion.facts.get("why", ""), limits.NOTIFY_WHY_CHARS)
    next_ = (
        f"Nothing is sent there any more. Try it: buckstop hooks test {hook}; then enable {hook}"
    )
    return Message(f"Subscription {hook} is disabled", _lines(occasion, f"Why: {why}", next_))


def _task(occasion: Occasion) -> str:
    task = _fact(occasion, "task")
    return "\n".join(filter(None, (f"Look: buckstop show {task}", _link(occasion, "tasks", task))))


def _link(occasion: Occasion, page: str, name: str) -> str:
    """Return the console's page about one thing; it is ours, so it may be a link."""
    return (
        f"{occasion.console.rstrip('/')}/{page}/{quote(name, safe='')}" if occasion.console else ""
    )
