"""Send one notification through Apprise, to Slack, mail, PagerDuty or whatever its URL names.

Apprise waits for its services in threads; so does this. Where it leads is looked at anew before
every message (apprise_url.py), and once more when it connects (apprise_held.py). What Apprise says
of a failure may repeat its URL, so nothing of it is kept but the status that the service answered.
"""

import asyncio
import json
import re
from collections.abc import Sequence
from concurrent.futures import Executor
from functools import partial
from typing import Any, Final

from apprise import Apprise, NotifyFormat, NotifyType
from apprise.result import AppriseResultStatus

from envelopes import limits
from envelopes.strict import Refused
from orchestrator.courier.address import Resolve, resolve
from orchestrator.courier.apprise_held import hold
from orchestrator.courier.apprise_url import check_apprise_url
from orchestrator.courier.box import Claimed, Sent, Verb
from orchestrator.courier.subscription import Subscription
from orchestrator.courier.wording import Message, Occasion, message
from orchestrator.store import Store

_STATUS: Final = re.compile(r"error=(\d{3})\b")
_LOOK_UP_S: Final = 5
"""For the look-up of the name, beyond what Apprise keeps to by itself."""
_FILED: Final = {"letter.filed", "letter.refiled"}


class Notifications:
    """Sends notifications."""

    def __init__(
        self,
        threads: Executor,
        store: Store,
        console: str | None = None,
        resolve: Resolve = resolve,
        timeout_s: float = limits.NOTIFY_S,
    ) -> None:
        self._threads = threads
        self._store = store
        self._console = console
        self._resolve = resolve
        self._timeout_s = timeout_s

    async def send(self, claimed: Claimed, to: Subscription, now_ms: int) -> Sent:  # noqa: ARG002 -- as every sender
        """Make one attempt, and say how it ended; no fault of the service's is an exception."""
        attempt = partial(self._send, claimed, to)
        try:
            async with asyncio.timeout(self._timeout_s + _LOOK_UP_S):
                return await asyncio.get_running_loop().run_in_executor(self._threads, attempt)
        except Refused as refused:
            return Sent(Verb.RETRY, why=refused.why)
        except TimeoutError:
            return Sent(Verb.RETRY, why="its name could not be looked up in time")

    def _send(self, claimed: Claimed, to: Subscription) -> Sent:
        service = check_apprise_url(to.url, allow_private=to.allow_private, resolve=self._resolve)
        occasion = self._occasion(claimed)
        if occasion is None:
            return Sent(Verb.MOOT, why="it is told of under the reason that was found since")
        held = None if to.allow_private else hold(service)
        sent = _notify(service, message(occasion), self._timeout_s)
        if held and held.refused and sent.verb is not Verb.DONE:
            return Sent(Verb.RETRY, why=held.refused)
        return sent

    def _occasion(self, claimed: Claimed) -> Occasion | None:
        """Gather what the message says; None where its letters have another reason by now."""
        said = json.loads(claimed.body)
        letters = [letter for letter in self._store.read_letters(claimed.letters) if letter]
        if claimed.event in _FILED and letters and _is_moot(said["data"], letters):
            return None
        due = [int(each["due_ms"]) for each in letters if each.get("due_ms")]
        return Occasion(
            event=claimed.event,
            facts=said["data"],
            count=claimed.count,
            more=claimed.more,
            due_ms=min(due, default=None),
            default=_default(letters[0]) if letters else "",
            console=self._console,
        )


def _is_moot(facts: dict[str, str], letters: Sequence[dict[str, bytes]]) -> bool:
    """Say whether what was filed as unread has been read since: that is news of its own."""
    reason = facts.get("reason", "").encode()
    return all(letter.get("reason", b"") != reason for letter in letters)


def _default(letter: dict[str, bytes]) -> str:
    """Return what happens to a letter that nobody decides; a message's is thrown away."""
    if "story" not in letter:
        return "discard"
    return str(json.loads(letter["story"]).get("if_nobody_decides", ""))


def _notify(service: Any, text: Message, timeout_s: float) -> Sent:
    sender = Apprise()
    sender.add(service)
    result = sender.notify(
        body=text.body,
        title=text.title,
        notify_type=NotifyType.WARNING,
        body_format=NotifyFormat.TEXT,
        timeout=timeout_s,
    )
    if result:
        return Sent(Verb.DONE)
    if result.status == AppriseResultStatus.TIMEOUT:
        return Sent(Verb.RETRY, why=f"not taken within {timeout_s:g} s")
    found = _STATUS.search(" ".join(entry.message for entry in result.logs()))
    status = int(found[1]) if found else None
    why = f"it answered {status}" if status else "Apprise could not deliver it"
    return Sent(Verb.RETRY, status, why)
