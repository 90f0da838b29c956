"""What bounds a call from above, before it is made; and what nothing bounds.

No token is shorter than a byte, so the JSON of everything that is sent bounds the tokens of the
prompt, with a little for what a server's chat template adds of its own.

That holds for text. A picture, a stored conversation, a tool that the provider runs itself: each
costs more than its bytes say, and nobody can tell how much before. Such a call is refused where a
ceiling of tokens or usd would have to hold (`refuse`). The same goes for settings that change what
an answer may cost behind the meter's back.
"""

import json
from collections.abc import Mapping
from typing import Any, Final

from pydantic_core import to_jsonable_python

from envelopes.limits import LLM_PREAMBLE_TOKENS, LLM_TOOL_PREAMBLE_TOKENS
from workers.meter import Meter
from workers.prices import PriceUnknown

COSTLY: Final[Mapping[str, tuple[Any, ...]]] = {
    **dict.fromkeys(("n", "best_of", "candidate_count"), (1,)),
    **dict.fromkeys(("service_tier", "speed"), ("auto", "default", "flex", "standard")),
    **dict.fromkeys(("reasoning_mode", "inference_geo"), ("standard", "global")),
    **dict.fromkeys(("max_tokens", "max_completion_tokens", "max_output_tokens"), ()),
    **dict.fromkeys(("model", "messages", "input", "prompt", "prediction"), ()),
    **dict.fromkeys(("previous_response_id", "conversation", "conversation_id"), ()),
    **dict.fromkeys(("cached_content", "context_management"), ()),
    **dict.fromkeys(("tools", "native_tools", "builtin_tools", "web_search_options"), ()),
    **dict.fromkeys(("background", "audio"), (False,)),
    "modalities": (["text"],),
}
"""Settings that make a call cost more than its bound, and the values with which they do not."""


class Unmeterable(PriceUnknown):
    """Nobody can say beforehand what it costs, and there is a ceiling that must hold."""


def prompt_bytes(*sent: Any, tools: bool) -> int:
    """Return what the tokens of all that is sent cannot exceed."""
    size = sum(len(_written(part)) for part in sent)
    return size + (LLM_TOOL_PREAMBLE_TOKENS if tools else LLM_PREAMBLE_TOKENS)


def refuse(meter: Meter, what: str, instead: str) -> None:
    """Refuse what costs more than anybody can bound, where a bound is needed."""
    left = meter.left()
    if left.tokens is None and left.usd_micros is None:
        return
    raise Unmeterable(
        f"{what} cannot be metered, and there is a ceiling of tokens or usd, so it is not run; "
        f"{instead}, or give the task a ceiling of calls only"
    )


def refuse_costly(meter: Meter, settings: Mapping[str, Any] | None, *, but: str = "") -> None:
    """Refuse settings that make a call cost more than its bound, all `but` the one we clamp."""
    for name, value in (settings or {}).items():
        if name != but and value is not None and not _is_harmless(name, value):
            refuse(meter, f"a call with {name}={value!r}", f"leave {name} out")


def _is_harmless(name: str, value: Any) -> bool:
    """Say whether a setting leaves the bound as it is; providers put their name in front."""
    known = [harmless for costly, harmless in COSTLY.items() if f"_{name}".endswith(f"_{costly}")]
    return all(value in harmless for harmless in known)


def _written(part: Any) -> bytes:
    """Write what is sent as JSON; what is none is written as Python would show it."""
    plain = to_jsonable_python(part, fallback=repr, bytes_mode="base64")
    return json.dumps(plain, ensure_ascii=False).encode("utf-8", "surrogatepass")
