"""Hold what a person would deliver instead against what its task promises, without deciding."""

from collections.abc import Mapping
from typing import Any

from envelopes import TaskRequest, limits
from envelopes.decision import Decision, Verb
from envelopes.strict import Refused, compact, parse
from orchestrator.core import state
from orchestrator.core.gate import content_faults
from orchestrator.view import CANNOT_BE_READ


def amendment_faults(
    letter: str, task_id: str, stored: Mapping[str, bytes], result: Any
) -> list[tuple[str, str]]:
    """Say where (as a JSON pointer) and how a result could not be delivered; nothing if it could.

    A decision to amend with it is read as mail is, and judged by the core as its owner judges.
    """
    decision = {"letter": letter, "verb": Verb.AMEND, "by": "nobody yet", "result": result}
    try:
        said = parse(
            Decision, compact(decision), bytes_max=limits.ENVELOPE_BYTES_MAX, what="decision"
        )
    except ValueError as wrong:  # Refused, or a number that JSON does not know
        return [("", str(wrong))]
    try:
        request = TaskRequest.model_validate_json(stored["request"])
        task = state.read(task_id, int(stored["accepted_ms"]), request, stored)
    except CANNOT_BE_READ:
        why = f"its task {task_id} cannot be read here; ask where a newer version runs"
        raise Refused("letter", why) from None
    return content_faults(task, compact(said.result))
