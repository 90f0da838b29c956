"""Existing Celery tasks as agents: one decorator, and the tasks stay as they are."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from celery import Celery, chain, current_task, group, shared_task
from celery.exceptions import Ignore

from envelopes import Fault, Limits, Status
from tests.adapted import came_of, named
from workers.adapters.celery import as_agent

pytestmark = [
    pytest.mark.usefixtures("own_registry"),
    pytest.mark.filterwarnings("ignore:Task name"),  # each test has a `translate` of its own
]
TERMS: dict[str, Any] = {"confidence": 0.9, "tokens": 20, "usd": 0}


@pytest.fixture
def app() -> Celery:
    """Make an app of somebody's, whose broker is nowhere: whatever is sent to it fails."""
    made = Celery("shop", broker="redis://127.0.0.1:1/0", set_as_current=False)
    made.conf.update(broker_transport_options={"max_retries": 0}, task_publish_retry=False)
    return made


@pytest.fixture
def name() -> str:
    return named()


def taken(app: Celery, function: Callable[..., Any]) -> Any:
    """Make a task of a function that may be a lambda."""
    function.__name__ = "taken"
    return app.task(name=f"shop.{named()}")(function)


# --- what runs -----------------------------------------------------------------------------------


def test_a_task_with_one_decorator_is_an_agent(app: Celery, name: str) -> None:
    """The issue: "existing Celery tasks of a user's project as agents with one decorator"."""

    @as_agent(name, **TERMS)
    @app.task
    def translate(text: str, language: str = "en") -> str:
        return f"{text} in {language}"

    came = came_of(name, input={"text": "Otter", "language": "de"})
    assert (came.envelope.status, came.envelope.result) == (Status.SUCCESS, "Otter in de")
    assert (came.envelope.confidence, came.usage.tokens, came.usage.calls) == (0.9, 20, 1)


def test_below_app_task_it_works_as_well(app: Celery, name: str) -> None:
    @app.task
    @as_agent(name, **TERMS)
    def translate(text: str) -> str:
        return text.upper()

    assert came_of(name, input={"text": "otter"}).envelope.result == "OTTER"
    assert translate("otter") == "OTTER"
    assert translate.name.endswith("translate")


def test_a_shared_task_works_as_well(name: str) -> None:
    @as_agent(name, **TERMS)
    @shared_task(name=f"shared.{name}")
    def translate(text: str) -> str:
        return text.upper()

    assert came_of(name, input={"text": "otter"}).envelope.result == "OTTER"


def test_a_bound_task_finds_its_subtask_in_the_request(app: Celery, name: str) -> None:
    """The subtask is what to use as an idempotency key."""

    @as_agent(name, **TERMS)
    @app.task(bind=True)
    def translate(self: Any, text: str) -> list[Any]:
        self.update_state(state="PROGRESS", meta={"done": 1})
        return [self.request.id, list(self.request.args), self.name.split(".")[-1], text]

    came = came_of(name, input=["otter"])
    assert came.envelope.result == [came.run.grant.subtask, ["otter"], "translate", "otter"]


def test_an_async_task_works_as_well(app: Celery, name: str) -> None:
    @as_agent(name, **TERMS)
    @app.task
    async def translate(text: str) -> str:
        await asyncio.sleep(0)
        return text.upper()

    assert came_of(name, input={"text": "otter"}).envelope.result == "OTTER"


def test_the_task_itself_stays_what_it_was(app: Celery, name: str) -> None:
    """`translate.delay()` of their own app works unchanged: same object, same broker."""

    @app.task(bind=True, autoretry_for=(KeyError,), max_retries=1)
    def translate(self: Any, text: str) -> str:
        if self.request.retries == 0:
            raise KeyError(text)
        return text

    before = vars(translate._get_current_object()).copy()
    assert as_agent(name, **TERMS)(translate) is translate
    came_of(name, input={"text": "otter"})
    assert vars(translate._get_current_object()) == before
    with pytest.raises(translate.OperationalError):  # it goes to its own broker, which is nowhere
        translate.delay("otter")
    assert translate.apply(["otter"]).get() == "otter", "and its own retries are as they were"


def test_a_lazy_task_stays_lazy_until_it_runs(name: str) -> None:
    """Settings that a project loads after its tasks are declared are not read too early."""
    app = Celery("shop", set_as_current=False)

    @as_agent(name, **TERMS)
    @app.task
    def translate(text: str) -> str:
        return app.conf.language + text

    assert not app.configured
    app.conf.update(language="de: ")
    assert came_of(name, input={"text": "otter"}).envelope.result == "de: otter"


# --- what it is given ----------------------------------------------------------------------------

GIVEN = {"goal": "g", "input": {"a": 1}, "inputs": {"s": 2}}
TAKES = {
    "the goal as text": (lambda text: text, {"goal": "g"}, "g"),
    "goal and results": (lambda text: text, {"goal": "g", "inputs": {"s": 2}},
        'g\n\nResults of earlier steps:\n{"s": 2}'),
    "by name": (lambda a, b=5: [a, b], GIVEN, [1, 5]),
    "in order": (lambda a, b: [a, b], {"input": [1, 2]}, [1, 2]),
    "one": (lambda a: a, {"input": 7}, 7),
    "the words of a payload": (lambda goal, inputs: [goal, inputs], GIVEN | {"input": None},
        ["g", {"s": 2}]),
    "the input whole": (lambda input: input, GIVEN, {"a": 1}),  # noqa: A006 -- a payload's word
    "a name and a word": (lambda a, goal: [a, goal], GIVEN, [1, "g"]),
    "what is given wins": (lambda goal: goal, {"goal": "g", "input": {"goal": "own"}}, "own"),
    "nothing": (lambda: "done", {"goal": "g"}, "done"),
}  # fmt: skip


@pytest.mark.parametrize("how", TAKES)
def test_a_task_is_given_what_it_takes(app: Celery, name: str, how: str) -> None:
    function, payload, result = TAKES[how]
    as_agent(name, **TERMS)(taken(app, function))
    nothing = {"goal": None, "input": None, "inputs": {}}
    came = came_of(name, **(nothing | payload))
    assert came.envelope.result == result, came.envelope.reason


def test_what_it_is_given_can_be_made(app: Celery, name: str) -> None:
    task = taken(app, lambda a, b: [a, b])
    as_agent(name, **TERMS, prompt=lambda goal, _, inputs: {"a": goal, "b": inputs})(task)
    assert came_of(name, goal="g", inputs={"s": 1}).envelope.result == ["g", {"s": 1}]


def test_what_does_not_fit_is_not_run_and_not_paid_for(app: Celery, name: str) -> None:
    as_agent(name, **TERMS)(taken(app, lambda text, language: text + language))
    came = came_of(name, input={"txt": "x"})
    assert "takes (text, language): missing a required argument: 'text'" in came.envelope.reason
    assert (came.envelope.status, came.envelope.fault) == (Status.FAILED, None)
    assert came.usage.calls == 0


# --- what is refused -----------------------------------------------------------------------------


def raised(error: Exception) -> Any:
    raise error


ASKS: dict[str, tuple[Callable[[Any], Any], str]] = {
    "retry": (lambda task: task.retry(countdown=5), "asked Celery for a retry"),
    "retry of an error": (lambda task: task.retry(exc=KeyError()), "asked Celery for a retry"),
    "current task": (lambda _: current_task.retry(), "asked Celery for a retry"),
    "replace": (lambda task: task.replace(task.si()), "to be replaced by shop."),
    "chord": (lambda task: task.add_to_chord(task.si()), "joins a chord"),
    "again": (lambda task: task.apply_async(), "to be run again"),
    "delay": (lambda task: task.delay(), "to be run again"),
    "ignore": (lambda _: raised(Ignore()), "asked Celery for Ignore"),
    "signature": (lambda task: task.si(), "work that goes on elsewhere"),
    "chain": (lambda task: chain(task.si(), task.si()), "work that goes on elsewhere"),
    "group": (lambda task: group(task.si()), "work that goes on elsewhere"),
    "result": (lambda task: task.AsyncResult("x"), "work that goes on elsewhere"),
}


@pytest.mark.parametrize("what", ASKS)
def test_what_only_celery_could_do_is_a_failed_envelope(app: Celery, name: str, what: str) -> None:
    """One owner: "Nobody can pass and forget". Nothing is sent to the task's own broker."""
    asks, why = ASKS[what]

    @as_agent(name, **TERMS)
    @app.task(bind=True, name=f"shop.{name}", autoretry_for=(LookupError,))
    def task(self: Any) -> Any:
        return asks(self)

    envelope = came_of(name, goal=None).envelope
    assert (envelope.status, envelope.fault) == (Status.FAILED, None)
    assert why in envelope.reason


def test_an_error_is_the_task_s_fault_and_no_retry(app: Celery, name: str) -> None:
    """Its own retry (autoretry_for) stays with its own worker."""

    @as_agent(name, **TERMS)
    @app.task(autoretry_for=(KeyError,))
    def fails() -> None:
        raise KeyError("nothing there")

    envelope = came_of(name, goal=None).envelope
    assert (envelope.fault, envelope.reason) == (Fault.RAISED, "KeyError: 'nothing there'")


def test_a_bound_task_is_taken_in_above(app: Celery, name: str) -> None:
    """Below it would be called without itself; that is said when the module is imported."""
    del app
    with pytest.raises(TypeError, match=r"put @as_agent above @app\.task"):

        @as_agent(name, **TERMS)
        def translate(self: Any, text: str) -> str: ...


def test_a_task_of_undeclared_cost_is_not_run_under_a_ceiling(app: Celery, name: str) -> None:
    """Unknown is not zero."""
    as_agent(name, confidence=1)(taken(app, lambda: pytest.fail("it ran")))
    came = came_of(name, Limits(tokens=10), goal=None)
    assert came.envelope.fault is Fault.PRICE
    assert "tokens=..." in came.envelope.reason


def test_a_task_that_could_overrun_is_not_run(app: Celery, name: str) -> None:
    as_agent(name, **TERMS)(taken(app, lambda: pytest.fail("it ran")))
    assert came_of(name, Limits(tokens=19), goal=None).envelope.fault is Fault.BUDGET


def test_two_agents_of_one_name_are_refused(app: Celery, name: str) -> None:
    """An import that is repeated is none; another line of code is."""
    task = taken(app, lambda text: text)
    for _ in range(2):
        as_agent(name, **TERMS)(task)
    with pytest.raises(ValueError, match="two agents"):
        as_agent(name, **TERMS)(task)
