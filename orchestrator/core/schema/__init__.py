"""Hold a JSON text against a JSON Schema that a caller has written, within a bound of work.

A schema is a program that a stranger writes and orchestrators run: it can call itself, branch, and
search texts. So each thing that is done for it is counted (`run.py`), and a check that would take
more than SCHEMA_STEPS_MAX steps is ended with a reason. Steps are counted, not milliseconds: the
same text is judged alike wherever and whenever it is judged. Patterns are searched by a machine
whose time grows with the text only (`pattern.py`), and nothing is ever fetched.

What is understood is draft 2020-12, and 2019-09 and drafts 7 and 6 where "$schema" says so
(`keywords.py`). What cannot be applied is refused when a request comes in (`shape.py`).
"""

import json
from collections.abc import Iterator
from functools import lru_cache
from itertools import islice
from typing import Final

from envelopes import limits
from orchestrator.core.schema.keywords import faults
from orchestrator.core.schema.run import Exhausted, Fault, Inapplicable, Run
from orchestrator.core.schema.shape import refuse_misshapen

__all__ = ["misfit", "misfits", "refuse_misshapen"]

_MISFITS_MAX: Final = 20
"""Faults told of one text: more of them nobody repairs in one go."""


def misfit(schema: str, text: str) -> str | None:
    """Say where a text breaks a schema (as JSON text), or return None where it does not."""
    found = _misfits(schema, text)
    if not found:
        return None
    path, why = min(found, key=lambda fault: len(fault.path))
    return f"at {_json_path(path)}: {why}" if path else why


def misfits(schema: str, text: str) -> list[tuple[str, str]]:
    """Say where (as a JSON pointer) and how a text breaks a schema, as far as one can repair."""
    return [(_pointer(fault.path), fault.why) for fault in _misfits(schema, text)]


@lru_cache(maxsize=16)
def _misfits(schema: str, text: str) -> tuple[Fault, ...]:
    """Find the first faults. One decision asks the same more than once, and so does the next."""
    found: list[Fault] = []
    try:
        found += islice(_faults(schema, text), _MISFITS_MAX)
    except Exhausted as ended:
        trouble = str(ended)
    except Inapplicable as broken:
        trouble = f"it cannot be applied: {broken}"
    except Exception as broken:  # noqa: BLE001  the schema is the caller's, and so is its failure
        # A task that raised here would raise at every wake and never end.
        trouble = f"it cannot be applied: {type(broken).__name__}: {broken}"[:500]
    else:
        return tuple(found)
    return tuple(found) or (Fault((), trouble),)  # what was found till then is reason enough


def _faults(schema: str, text: str) -> Iterator[Fault]:
    if len(text) > limits.RESULT_CHARS_MAX:
        raise Inapplicable(
            f"the result has {len(text):,} characters, and at most "
            f"{limits.RESULT_CHARS_MAX:,} are checked; pass larger work by reference"
        )
    root = json.loads(schema)
    yield from faults(Run(root), root, json.loads(text))


def _pointer(path: tuple[str | int, ...]) -> str:
    return "".join("/" + str(part).replace("~", "~0").replace("/", "~1") for part in path)


def _json_path(path: tuple[str | int, ...]) -> str:
    return "$" + "".join(map(_json_path_part, path))


def _json_path_part(part: str | int) -> str:
    return f".{part}" if isinstance(part, str) and part.isidentifier() else f"[{part!r}]"
