"""The reference of what travels and what is said of it: schemas, the journal's words, states."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from writing import ROOT, table, text_of

from orchestrator.core.transitions import STEP_MOVES, TASK_MOVES

WHYS: Final = ROOT / "orchestrator/http/console/lib/whys.js"
SCHEMAS: Final = ROOT / "docs/schemas"
SCHEMA_TITLES: Final = {
    "task_request": "The request: what a task brings",
    "finish_line": "The finish line: `until`",
    "envelope": "The envelope: what an agent hands back",
    "decision": "The decision: what a person says of a letter",
    "cancellation": "The cancellation",
    "headers": "The headers of a message",
    "ledger": "The ledger",
}
_WHY: Final = re.compile(
    r'^  (\w+): \["([^"]+)", "\w+", "\w+", "((?:[^"\\]|\\.)*)"\]', re.MULTILINE
)


def schemas() -> str:
    """Write down every field of what travels, from the JSON Schemas."""
    parts = ["# Requests, envelopes, decisions"]
    parts.append("The schemas themselves, for programs, stand in `docs/schemas`.")
    shown = set[str]()
    for name, title in SCHEMA_TITLES.items():
        told = json.loads((SCHEMAS / f"{name}.json").read_text(encoding="utf-8"))
        parts += [f"## {title}", f"[{name}.json](../schemas/{name}.json)", *_described(told)]
        for known, each in sorted(told.get("$defs", {}).items()):
            if known not in {*shown, "JsonValue"}:
                parts += [f"### {known}", *_described(each)]
                shown.add(known)
    return "\n\n".join(part for part in parts if part)


def _described(told: Mapping[str, Any]) -> Iterator[str]:
    """Say what something is: its fields, or what it can be."""
    yield text_of(told.get("description", ""))
    must = told.get("required", ())
    rows = [
        (f"`{name}`", _type(each), _default(name, each, must), text_of(each.get("description", "")))
        for name, each in told.get("properties", {}).items()
    ]
    yield (
        table(("field", "type", "default", "meaning"), rows) if rows else f"One of: {_type(told)}."
    )


def _default(name: str, each: Mapping[str, Any], must: Sequence[str]) -> str:
    return "required" if name in must else f"`{json.dumps(each.get('default'))}`"


def _type(each: Mapping[str, Any]) -> str:
    """Say in a word what a field holds."""
    match each:
        case {"$ref": str(where)}:
            name = where.rpartition("/")[2]
            return "any JSON" if name == "JsonValue" else name
        case {"anyOf": list(of)} | {"oneOf": list(of)}:
            return " or ".join(dict.fromkeys(_type(one) for one in of))
        case {"const": value}:
            return f"`{value}`"
        case {"enum": values}:
            return ", ".join(f"`{value}`" for value in values)
        case {"type": "array", "items": dict(item)}:
            return f"list of {_type(item)}"
        case {"type": str(kind)}:
            return kind
        case _:
            return "any JSON"


def whys() -> str:
    """Write down what each rule's name in a journal means."""
    rows = [(f"`{name}`", word, said) for name, word, said in _WHY.findall(WHYS.read_text())]
    about = (
        "Each line of a journal names the rule that made it. `buckstop show` and the console show "
        "them; `TaskEvent.why` and the events over HTTP carry them."
    )
    told = table(("why", "in words", "what it means"), rows)
    return f"# Why: the words of the journal\n\n{about}\n\n{told}"


def states() -> str:
    """Write down which moves a task and a step can make: the tables that the core obeys."""
    parts = ["# States", "A move that is not here stops the process that tried it."]
    for title, moves in (("A task", TASK_MOVES), ("A step", STEP_MOVES)):
        rows = [(a.value, b.value, why) for (a, b), why in moves.items()]
        parts += [f"## {title}", table(("from", "to", "when"), rows)]
    return "\n\n".join(parts)
