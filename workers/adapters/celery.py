"""Run the Celery tasks of an existing project as Buckstop agents, and leave them as they are.

    from workers.adapters.celery import as_agent

    @as_agent("translate", confidence=0.9, tokens=20_000)
    @app.task(bind=True)
    def translate(self, text, language="en"): ...

For `@app.task` and `@shared_task`, bound or not, plain or async; below `@app.task` it works as well
where the task is not bound. The task itself stays what it was: `translate.delay()` goes to its own
app's broker, and its own workers run it. What a Buckstop worker runs is the same function, once
for each subtask, with the meter, the deadline and the envelope of any agent. Its worst case is
declared, as in function.py.

What it is given: a step's `input`, by name where that is an object, in order where it is a list;
`goal`, `input` and `inputs` by these names where it has such parameters; with no input, the goal as
text. `prompt=` makes it otherwise: an object, a list, or one argument.

`self.request.id` is the subtask, which is what to use as an idempotency key. Whatever else a task
may ask Celery for through `self` is refused, and becomes a failed envelope: a retry (the owner
re-plans), `replace`, `add_to_chord` and `apply_async` (work that goes on elsewhere is nobody's).
Time limits, rate limits and hooks such as `on_failure` are its own worker's business, and not used.
"""

import inspect
from collections.abc import Callable, Mapping
from decimal import Decimal
from functools import cache
from types import FunctionType
from typing import Any, NamedTuple, NoReturn, TypeVar, Unpack

from celery import Task
from celery._state import _task_stack  # what `celery.current_task` looks at
from celery.canvas import Signature
from celery.exceptions import Ignore, Reject, Retry
from celery.local import Proxy
from celery.result import ResultBase

from workers.adapters.function import Declared, called
from workers.adapters.tap import Tap
from workers.adapters.terms import Adapted, Terms, Unfinished, as_text, caller, register
from workers.context import Context

Existing = TypeVar("Existing", bound=Callable[..., Any])


def as_agent(
    name: str,
    *,
    tokens: int | None = None,
    usd: Decimal | str | int | None = None,
    calls: int = 1,
    **terms: Unpack[Terms],
) -> Callable[[Existing], Existing]:
    """Register a Celery task as the agent of this name, at a declared worst case; return it."""
    worst, declared_in = Declared(name, tokens, usd, calls), caller()

    def declare(existing: Existing) -> Existing:
        _refuse_bound(existing, name)

        async def run(ctx: Context, tap: Tap, given: Any, _: Any) -> Any:
            call = _call(existing, ctx.subtask, name, given)
            await worst.book(ctx.meter, tap)
            try:
                output = await called(call)
            except (Ignore, Reject, Retry) as wish:
                raise _not_here(name, type(wish).__name__) from None
            return _finished(name, output)

        register(Adapted(name=name, run=run, **({"prompt": Payload} | terms)), declared_in)
        return existing

    return declare


class Payload(NamedTuple):
    """What a step says, before it becomes arguments."""

    goal: str | None
    input: Any
    inputs: Mapping[str, Any]


# --- what is called ------------------------------------------------------------------------------


class _Inside(Task):
    """A task as it sees itself while it runs as an agent: nothing can be asked of Celery."""

    abstract = True

    def retry(self, *_: Any, exc: BaseException | None = None, **__: Any) -> NoReturn:
        """Refuse: the owner re-plans."""
        raise _not_here(self.name, "a retry") from exc

    def replace(self, sig: Any) -> NoReturn:
        """Refuse: work that goes on elsewhere is nobody's."""
        raise _not_here(self.name, f"to be replaced by {sig}")

    def add_to_chord(self, sig: Any, lazy: bool = False) -> NoReturn:  # noqa: ARG002, FBT001, FBT002 -- Celery's signature
        """Refuse: work that goes on elsewhere is nobody's."""
        raise _not_here(self.name, f"that {sig} joins a chord")

    def apply_async(self, *_: Any, **__: Any) -> NoReturn:
        """Refuse: work that goes on elsewhere is nobody's."""
        raise _not_here(self.name, "to be run again")

    def update_state(self, *_: Any, **__: Any) -> None:
        """Do nothing: there is no result backend to keep it."""


@cache
def _inside(task: Task) -> Task:
    """Make a task that runs the same function; the one it is made from is not touched.

    What Celery has put into the object itself stays behind: a retry of its own around `run`.
    """
    made: Task = type(type(task).__name__, (_Inside, type(task)), {"abstract": True})()
    return made


def _call(existing: Any, subtask: str, name: str, given: Any) -> Callable[[], Any]:
    """Bind what is given to what is taken, before anything is paid for."""
    task = existing._get_current_object() if isinstance(existing, Proxy) else existing  # noqa: SLF001 -- Celery's own word for it
    function = _inside(task).run if isinstance(task, Task) else task
    bound = _bound(function, name, given)
    if not isinstance(task, Task):
        return lambda: function(*bound.args, **bound.kwargs)
    return lambda: _run(_inside(task), subtask, bound)


def _run(task: Task, subtask: str, bound: inspect.BoundArguments) -> Any:
    """Run it as Celery does when a task is called directly, under the subtask's id."""
    _task_stack.push(task)
    task.push_request(id=subtask, args=bound.args, kwargs=bound.kwargs)
    try:
        return task.run(*bound.args, **bound.kwargs)
    finally:
        task.pop_request()
        _task_stack.pop()


def _bound(function: Callable[..., Any], name: str, given: Any) -> inspect.BoundArguments:
    signature = inspect.signature(function)
    args, kwargs = _arguments(signature, given)
    try:
        return signature.bind(*args, **kwargs)
    except TypeError as wrong:
        raise Unfinished(
            f"{name} takes {signature}: {wrong}; give its arguments by name in the step's input, "
            "or make them with prompt="
        ) from None


def _arguments(signature: inspect.Signature, given: Any) -> tuple[list[Any], dict[str, Any]]:
    if not isinstance(given, Payload):
        return _spread(given)
    named = {name: value for name, value in given._asdict().items() if name in signature.parameters}
    if named and (given.input is None or "input" in named):
        return [], named
    if given.input is None:
        return ([as_text(*given)] if signature.parameters else []), {}
    args, kwargs = _spread(given.input)
    return args, {**named, **kwargs}


def _spread(given: Any) -> tuple[list[Any], dict[str, Any]]:
    match given:
        case Mapping():
            return [], dict(given)
        case list() | tuple():
            return list(given), {}
        case _:
            return [given], {}


# --- what is refused -----------------------------------------------------------------------------


def _refuse_bound(existing: Any, name: str) -> None:
    """Refuse a function whose `self` nobody would give it: the task is made further up.

    isinstance would ask a task that is not made yet for its class, and so make it too early.
    """
    if type(existing) is not FunctionType:
        return
    if next(iter(inspect.signature(existing).parameters), "") == "self":
        raise TypeError(f"{name}: put @as_agent above @app.task, for a bound task takes itself")


def _finished(name: str, output: Any) -> Any:
    if isinstance(output, Signature | ResultBase):
        raise Unfinished(
            f"{name} returned {type(output).__name__}: work that goes on elsewhere, which nobody "
            "here owns or pays for; return what was found, or make each part a step of a plan"
        )
    return output


def _not_here(name: str, wish: str) -> Unfinished:
    return Unfinished(
        f"{name} asked Celery for {wish}, and as an agent it can ask nothing of it: raise, and the "
        "owner re-plans, or make each part a step of a plan"
    )
