"""The way in: what is refused before it becomes a task.

A request that could never end well is refused while its caller is still there to read why:
unreadable or out of bounds (envelopes/request.py says which field), an allowance that its own
ceiling can never hold, a step too large for a message, a result schema that is none. And nothing
new is taken while the server is short of memory (checks.py).
"""

import json
import secrets
from collections import Counter
from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Any

from pydantic import BaseModel

from envelopes import Ledger, Refused, ResultMatches, Step, TaskRequest, limits
from envelopes.strict import compact, parse
from envelopes.until import parts
from envelopes.versions import written_for_anybody
from orchestrator.core.schema import refuse_misshapen
from orchestrator.store import Submission

_ID_BYTES = 10
"""80 random bits: among a million tasks, two share an id in one of 10**12 deployments."""

_FRAME = len('{"goal":,"input":}')

RequestLike = TaskRequest | Mapping[str, Any] | str | bytes
"""A request, its fields, or its JSON."""


def submission(request: RequestLike, **fields: object) -> Submission:
    """Check a request and make it a submission with an id of its own, or raise Refused."""
    checked = read(request, **fields)
    return Submission(
        task_id=secrets.token_hex(_ID_BYTES),
        request=written_for_anybody("request", checked).encode(),
        fields={},
        tenant=checked.tenant,
        idempotency_key=checked.idempotency_key,
        retention_ms=limits.RETENTION_S * 1000,
        timeout_ms=int(checked.timeout * 1000),
    )


def read(request: RequestLike, **fields: object) -> TaskRequest:
    """Read a request, whatever form it has, and check it against itself, or raise Refused."""
    checked = parse(
        TaskRequest, _as_json(request, fields), bytes_max=limits.REQUEST_BYTES_MAX, what="request"
    )
    _check_schemas(checked)
    ledger = Ledger.opened(checked.budget.limits(), checked.budget.ending_share)
    for where, step in _steps(checked):
        _check_allowance(where, step, ledger)
    _check_sizes(checked)
    return checked


def _as_json(request: RequestLike, fields: Mapping[str, object]) -> bytes | str:
    """Bring every form of a request into the one that is parsed, so that all are checked alike."""
    if isinstance(request, str | bytes):
        if fields:
            raise Refused(next(iter(fields)), "a request given as text takes no more fields")
        return request
    base = request.model_dump(mode="json") if isinstance(request, TaskRequest) else request
    try:
        # Written with NaN and the like as they are: the parser refuses them, and knows the field.
        return json.dumps(_plain({**base, **fields}), ensure_ascii=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise Refused("request", f"cannot be written as JSON: {error}") from None


def _plain(value: Any) -> Any:
    """Turn models and decimals inside a value into what JSON knows."""
    match value:
        case BaseModel():
            return value.model_dump(mode="json")
        case Decimal():
            return str(value)
        case Mapping():
            return {key: _plain(one) for key, one in value.items()}
        case list() | tuple():
            return [_plain(one) for one in value]
        case _:
            return value


def _check_schemas(request: TaskRequest) -> None:
    if request.result_schema is not None:
        refuse_misshapen("result_schema", request.result_schema)
    line = list(parts(request.until))
    schemas = [each.json_schema for each in line if isinstance(each, ResultMatches)]
    for what, there, most in (
        ("conditions", len(line), limits.FINISH_LINE_MAX),
        ("conditions of kind result_matches", len(schemas), limits.FINISH_LINE_SCHEMAS_MAX),
    ):
        if there > most:
            raise Refused("until", f"{there:,} {what}, at most {most} are taken; join fewer")
    for each in schemas:
        refuse_misshapen("until.json_schema", each)


def _steps(request: TaskRequest) -> Iterator[tuple[str, Step]]:
    if request.agent is not None:
        yield "agent", request.plans[0][0]
    for number, step in enumerate(request.plan or ()):
        yield f"plan.{number}", step
    for number, plan in enumerate(request.fallback_plans):
        for place, step in enumerate(plan):
            yield f"fallback_plans.{number}.{place}", step


def _check_allowance(where: str, step: Step, ledger: Ledger) -> None:
    if step.allowance is None:
        return
    asked, free = step.allowance.limits(), ledger.free()
    for name, unit in (("tokens", "tokens"), ("usd_micros", "micro-dollars"), ("calls", "calls")):
        wanted, most = getattr(asked, name), getattr(free, name)
        if wanted is not None and most is not None and wanted > most:
            raise Refused(
                f"{where}.allowance",
                f"step {step.id!r} asks for {wanted:,} {unit}, but the task's budget holds "
                f"{most:,} after what is kept back for its ending (budget.ending_share)",
            )


def _check_sizes(request: TaskRequest) -> None:
    """Bound each message, and all messages of a plan: what steps share is sent to each of them."""
    goal, given = _size(request.goal), _size(request.input)
    sums = Counter[str]()
    for where, step in _steps(request):
        size = _FRAME + (goal if step.goal is None else _size(step.goal))
        size += given if step.input is None else _size(step.input)
        if size > limits.PAYLOAD_BYTES_MAX:
            raise Refused(
                f"{where}.input",
                f"step {step.id!r} needs a message of {size:,} bytes, at most "
                f"{limits.PAYLOAD_BYTES_MAX:,} are sent; pass a reference to larger work",
            )
        plan = where.rpartition(".")[0]
        sums[plan] += size
        if sums[plan] > limits.PLAN_BYTES_MAX:
            raise Refused(
                plan,
                f"its messages have more than {limits.PLAN_BYTES_MAX:,} bytes together; what its "
                f"steps share is sent to each ({goal + given:,} bytes): pass references",
            )


def _size(value: Any) -> int:
    return len(compact(value).encode())
