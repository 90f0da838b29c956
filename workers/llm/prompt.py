"""A request to a model, and the most input it can be charged for.

No token is shorter than a byte, so the bytes of the request's JSON bound the tokens that are in it:
messages, tools and response format are all in there. On top comes what the server's chat template
writes around them, for which `limits` has a figure.

That holds for text only. What has no bound, or makes one request into several, is refused here,
before anything is charged: pictures and sound (unless the agent says how many tokens they are),
`n`, `best_of`, tools that run at the server, dearer service tiers. The table below says why.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from envelopes import limits

Messages = str | Sequence[Mapping[str, Any]]
"""A whole conversation, or just what the user says."""
LimitField = Literal["max_tokens", "max_completion_tokens"]
"""What a server calls the longest answer; it ignores a name that it does not know."""

OURS: Final = frozenset(
    ("model", "messages", "tools", "stream", "stream_options", "max_completion_tokens", "functions")
)
"""Parameters that the client sets itself."""
UNBOUNDED: Final[dict[str, tuple[tuple[object, ...], str]]] = {
    "n": ((None, 1), "each choice is charged; ask several times instead"),
    "best_of": ((None, 1), "each try is charged; ask several times instead"),
    "use_beam_search": ((None, False), "each beam is computed"),
    "prediction": ((None,), "rejected predictions are charged beyond the longest answer"),
    "modalities": ((None, ["text"]), "sound is charged by its length, which nobody knows before"),
    "audio": ((None,), "sound is charged by its length, which nobody knows before"),
    "web_search_options": ((None,), "what a search brings in is charged as input"),
    "plugins": ((None,), "what they bring in is charged as input"),
    "models": ((None,), "another model has another price"),
    "chat_template": ((None,), "it can write any text into the prompt"),
    "service_tier": ((None, "default", "flex"), "other tiers have other prices"),
}
"""Parameter: the values that change nothing, and why no other can be bounded."""
_TEXT_PARTS: Final = ("text", "refusal")


@dataclass(frozen=True, slots=True)
class Prompt:
    """One request, but for the longest answer, which the meter decides."""

    fields: Mapping[str, Any]
    limit_field: LimitField
    wanted: int
    """The longest answer that was asked for."""
    least: int
    """The shortest limit with which asking still makes sense."""
    input_tokens: int
    """What its input cannot exceed."""

    def body(self, max_tokens: int) -> bytes:
        """Write it as it is sent."""
        return _json({**self.fields, self.limit_field: max_tokens})


def prompt(
    fields: Mapping[str, Any],
    parameters: Mapping[str, Any],
    *,
    limit_field: LimitField,
    max_tokens: int,
    least_tokens: int,
    media_tokens: int | None,
) -> Prompt:
    """Put a request together and bound its input; refuse what has no bound."""
    for name, value in parameters.items():
        _check_parameter(name, value)
    for tool in fields.get("tools", ()):
        _check_tool(tool)
    if media_tokens is None:
        _check_text_only(fields["messages"])
    whole = {**fields, **parameters}
    around = limits.LLM_TOOL_PREAMBLE_TOKENS if "tools" in whole else limits.LLM_PREAMBLE_TOKENS
    bound = len(_json(whole)) + around + (media_tokens or 0)
    return Prompt(whole, limit_field, max_tokens, least_tokens, bound)


def listed(messages: Messages) -> list[Mapping[str, Any]]:
    """Return a conversation as a list of its own, to which turns can be added."""
    if isinstance(messages, str):
        return [{"role": "user", "content": messages}]
    return list(messages)


def _check_parameter(name: str, value: object) -> None:
    if name in OURS:
        raise TypeError(f"{name} is not passed on: the client sets it itself")
    harmless, why = UNBOUNDED.get(name, ((value,), ""))
    if not any(value == each and type(value) is type(each) for each in harmless):
        raise ValueError(f"{name}={value!r} has no bound that could be charged before: {why}")


def _check_tool(tool: Mapping[str, Any]) -> None:
    if tool.get("type") != "function":
        raise ValueError(
            f"a tool of type {tool.get('type')!r} runs at the server, and what it costs has no "
            "bound that could be charged before; only functions can be offered"
        )


def _check_text_only(messages: Sequence[Mapping[str, Any]]) -> None:
    for kind in _parts(messages):
        if kind not in _TEXT_PARTS:
            raise ValueError(
                f"a message holds {kind!r}, whose tokens its bytes do not bound; say how many they "
                "are at most: media_tokens=..."
            )


def _parts(messages: Sequence[Mapping[str, Any]]) -> Iterator[object]:
    for message in messages:
        if message.get("audio") is not None:
            yield "audio"
        content = message.get("content")
        if isinstance(content, Sequence) and not isinstance(content, str):
            yield from (part.get("type") for part in content)


def _json(value: object) -> bytes:
    """Write JSON that every server reads: UTF-8, without NaN."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return text.encode()
