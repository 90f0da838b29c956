"""Make a request of a message. A task without a ceiling, a deadline and a finish line is none.

A2A has no words for these. So a message says them in its metadata, as fields of a request:

    {"parts": [{"text": "compare three vendors"}], "messageId": "m1",
     "metadata": {"buckstop": {"agent": "research", "budget": {"tokens": 20000},
                               "timeout": "5m", "until": {"kind": "plan_done"}}}}

Or the operator has declared them (declared.py); what the message says wins. Nothing is declared by
itself: who sends no bounds is told what to send.
"""

from collections.abc import Mapping
from typing import Any, Final

from envelopes import limits
from envelopes.request import TaskRequest
from envelopes.strict import Refused, compact, parse
from orchestrator.a2a.declared import ALL, NOT_SAID, Defaults
from orchestrator.a2a.faults import Fault
from orchestrator.a2a.messages import Part, Send

KEY: Final = "buckstop"
"""Of the metadata that is ours."""
CONTEXT: Final = "a2a.context"
MESSAGE: Final = "a2a.message"
_OURS: Final = f"message.metadata.{KEY}"
_PARTS: Final = {"goal": "message.parts", "input": "message.parts"}
"""Where these fields of a request come from, for whoever is told that they are wrong."""


def request_of(sent: Send, defaults: Defaults, sender: str) -> TaskRequest:
    """Return what a message asks for, or raise Refused or Fault with what to send instead."""
    message = sent.message
    fields = {**_declared(defaults, said := _said(sent)), **said, **_of_parts(message.parts)}
    if "input" in said and fields["input"] is not said["input"]:
        raise Refused(f"{_OURS}.input", "the message has data parts too; say it in one of the two")
    labels = {**fields.get("labels", {}), MESSAGE: message.message_id}
    if message.context_id:
        labels[CONTEXT] = message.context_id
    if sent.tenant:
        fields["tenant"] = sent.tenant
    key = f"a2a-{sender}-{message.message_id}"
    return _parsed({**fields, "labels": labels, "idempotency_key": key})


def _parsed(fields: Mapping[str, Any]) -> TaskRequest:
    try:
        return parse(
            TaskRequest, compact(fields), bytes_max=limits.REQUEST_BYTES_MAX, what="request"
        )
    except Refused as wrong:
        name, _, rest = wrong.field.partition(".")
        where = _PARTS.get(name, f"{_OURS}.{name}")
        raise Refused(f"{where}.{rest}" if rest else where, wrong.why) from None


def _said(sent: Send) -> dict[str, Any]:
    """Return what the metadata say; the message's win over those of the request around it."""
    fields: dict[str, Any] = {}
    for metadata in (sent.metadata, sent.message.metadata):
        said = metadata.get(KEY, {})
        if not isinstance(said, dict):
            raise Refused(_OURS, "it is an object with fields of a request, such as budget")
        fields |= said
    for name, why in NOT_SAID.items():
        if name in fields:
            raise Refused(f"{_OURS}.{name}", why)
    if not isinstance(fields.get("labels", {}), dict):
        raise Refused(f"{_OURS}.labels", "they are an object of texts")
    return fields


def _declared(defaults: Defaults, said: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the operator has declared; who begins, in the message's words or theirs."""
    for_all = dict(defaults.get(ALL, {}))
    if said.keys() & {"plan", "planner", "manager"}:
        for_all.pop("agent", None)
    agent = said.get("agent", for_all.get("agent"))
    return {**for_all, **(defaults.get(agent, {}) if isinstance(agent, str) else {})}


def _of_parts(parts: tuple[Part, ...]) -> dict[str, Any]:
    """Read the goal from texts, and the input from data and addresses."""
    if any(part.raw is not None for part in parts):
        raise Fault(
            "CONTENT_TYPE_NOT_SUPPORTED",
            "files are not taken into messages; send a part with the file's url",
            "message.parts",
        )
    given = [_value(part) for part in parts if part.text is None]
    goal = said_in(parts)
    if not goal:
        raise Refused("message.parts", "no part has text; the text is the task's goal")
    return {"goal": goal} | ({"input": given[0] if len(given) == 1 else given} if given else {})


def said_in(parts: tuple[Part, ...]) -> str:
    """Return the text of a message."""
    return "\n\n".join(part.text for part in parts if part.text)


def _value(part: Part) -> Any:
    if part.url is None:
        return part.data
    named = {"url": part.url, "filename": part.filename, "mediaType": part.media_type}
    return {name: value for name, value in named.items() if value}
