"""Tools and shapes: what a model may make us do, how often, and what it is told."""

import json
from datetime import date

import pytest
from pydantic import BaseModel

from envelopes import Amounts
from tests.llm_server import DONE, Bench, completion, delta, last, streamed, usage, wait_for, wants
from workers.llm import BadAnswer, ToolCall, ToolError


class Otter(BaseModel):
    legs: int


@pytest.fixture
def bench(fresh):
    with Bench(fresh) as bench:
        yield bench


def run(bench, tool, *calls, **more):
    """Have a model call a tool, then answer; return what it was told."""
    chat, ctx = bench.chat(), bench.open().context
    bench.said(wants(*calls), completion("done"))
    wait_for(chat, lambda: chat.run(ctx, "go", tools=[tool], max_tokens=9, **more))
    return [each["content"] for each in bench.server.seen[-1].body["messages"][-len(calls) :]]


def parse(bench, *script, **more):
    chat, ctx = bench.chat(), bench.open().context
    bench.said(*script)
    return wait_for(chat, lambda: chat.parse(ctx, Otter, "how many?", max_tokens=9, **more))


def talk(bench, number):
    return bench.server.seen[number].body["messages"]


# --- tools ---------------------------------------------------------------------------------------


def test_arguments_arrive_as_the_types_that_the_function_names(bench):
    """Tool arguments are validated against their types before the function sees them."""
    taken = []

    def plan(day: date, *, copy: bool = True) -> None:
        taken.append((day, copy))

    told = run(bench, plan, ("plan", {"day": "2026-02-01"}), ("plan", {"day": "x", "copy": 1}))
    assert taken == [(date(2026, 2, 1), True)]
    assert told[0] == "null"
    assert "day: " in told[1]


def test_an_argument_that_the_function_does_not_take_is_told_to_the_model(bench):
    taken = []

    def look(where: str) -> None:
        taken.append(where)

    [told] = run(bench, look, ("look", {"where": "here", "harder": True}))
    assert "harder" in told
    assert taken == []


def test_a_model_is_shown_what_it_asked_for_and_what_came_of_it(bench):
    """Results fed back."""

    def look(where: str) -> dict:
        return {"seen": where}

    run(bench, look, ("look", {"where": "here"}))
    asked, told = talk(bench, 1)[-2:]
    assert (asked["role"], told["role"]) == ("assistant", "tool")
    [call] = asked["tool_calls"]
    assert call["function"] == {"name": "look", "arguments": '{"where": "here"}'}
    assert call["id"] == told["tool_call_id"] == "id-0"
    assert json.loads(told["content"]) == {"seen": "here"}


def test_a_tool_error_is_told_to_the_model(bench):
    """A ToolError is told to the model, which may try again in its next answer."""

    def shop() -> None:
        raise ToolError("closed on Sundays")

    assert run(bench, shop, ("shop", {})) == ["the tool failed: closed on Sundays"]


def test_any_other_error_of_a_tool_ends_the_run(bench):
    """Every other exception ends the run."""

    def shop() -> None:
        raise LookupError("a bug of ours")

    with pytest.raises(LookupError, match="a bug of ours"):
        run(bench, shop, ("shop", {}))
    assert len(bench.server.seen) == 1


def test_a_plain_tool_runs_where_it_holds_nobody_up(bench):
    """A plain function runs on a thread."""
    import asyncio

    def slow() -> str:
        with pytest.raises(RuntimeError, match="no running event loop"):
            asyncio.get_running_loop()
        return "on a thread"

    async def quick() -> str:
        asyncio.get_running_loop()
        return "on the loop"

    assert run(bench, slow, ("slow", {})) == ["on a thread"]
    assert run(bench, quick, ("quick", {})) == ["on the loop"]


def test_tools_that_cannot_be_told_of_are_refused_before_anything_is_charged(bench):
    """A function is offered by its name and the types of its parameters."""

    def untyped(where):
        return where

    def twin() -> None: ...

    chat, ctx = bench.chat(), bench.open().context
    for tools, error, said in (
        ([untyped], TypeError, "must have a name and a type"),
        ([lambda: None], ValueError, "a tool's name"),
        ([twin, twin], ValueError, "two tools are called 'twin'"),
    ):
        with pytest.raises(error, match=said):
            wait_for(chat, lambda tools=tools: chat.run(ctx, "go", tools=tools))
    assert bench.journal == []


# --- tool calls on the wire ----------------------------------------------------------------------


def called(*parts):
    """Stream these parts of tool calls; return the calls that they make up."""
    events = [delta(tool_calls=[part]) for part in parts]
    return streamed(*events, delta(None, "tool_calls"), last(usage()), DONE)


def part(index, arguments, name=None, call_id=None):
    return {"index": index, "id": call_id, "function": {"name": name, "arguments": arguments}}


@pytest.mark.parametrize(
    ("parts", "calls"),
    [
        (
            [
                part(0, "", "add", "x"),
                part(0, '{"a"'),
                part(1, '{"b"', "mul", "y"),
                part(0, ": 1}"),
                part(1, ": 2}"),
            ],
            (ToolCall("x", "add", '{"a": 1}'), ToolCall("y", "mul", '{"b": 2}')),
        ),
        (
            [part(None, '{"a": 1}', "add", "x"), part(None, '{"b": 2}', "mul", "y")],
            (ToolCall("x", "add", '{"a": 1}'), ToolCall("y", "mul", '{"b": 2}')),
        ),
        ([part(0, {"a": "it's"}, "add")], (ToolCall("call_0", "add", '{"a": "it\'s"}'),)),
    ],
    ids=["in pieces that alternate", "whole and without an index", "as an object without an id"],
)
def test_a_streamed_tool_call_is_put_together(bench, parts, calls):
    """Streaming and tool calls: the parts of each call are put together by their index."""
    chat, run = bench.chat(), bench.open()
    bench.said(called(*parts))

    async def work():
        async with chat.stream(run.context, "go", max_tokens=9) as pieces:
            assert [text async for text in pieces] == []
            return pieces.answer

    assert wait_for(chat, work).tool_calls == calls
    assert bench.booked(run) == Amounts(15, 0, 1)


# --- shapes --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"message": {"refusal": "I count no otters"}}, "refused: I count no otters"),
        ({"finish_reason": "content_filter"}, "refused: its content filter"),
        ({"finish_reason": "length"}, "was cut off: max_tokens"),
    ],
)
def test_an_answer_that_is_none_is_not_asked_for_again(bench, more, said):
    """A pydantic model or a clear error; what asking again cannot mend is not paid for twice."""
    with pytest.raises(BadAnswer, match=said):
        parse(bench, completion('{"legs": 4}', **more), completion('{"legs": 4}'))
    assert len(bench.server.seen) == 1


def test_an_answer_is_mended_once_and_no_more(bench):
    """One repair round, charged; it shows what was answered and what is wrong with it."""
    with pytest.raises(BadAnswer, match="no Otter: legs"):
        parse(bench, *[completion('{"legs": "four"}')] * 5)
    assert [kind for kind, _ in bench.journal] == ["charged", "seen"] * 2
    answered, complaint = talk(bench, 1)[-2:]
    assert answered == {"role": "assistant", "content": '{"legs": "four"}'}
    assert "no Otter: legs" in complaint["content"]


def test_who_wants_no_repair_pays_for_none(bench):
    """`repair=False` does without."""
    with pytest.raises(BadAnswer, match="no Otter"):
        parse(bench, completion("four"), completion('{"legs": 4}'), repair=False)
    assert len(bench.server.seen) == 1


def test_a_shape_is_asked_for_as_a_json_schema(bench):
    """Structured output."""
    assert parse(bench, completion(' ```json\n{"legs": 4}\n``` ')) == Otter(legs=4)
    form = bench.server.seen[0].body["response_format"]
    assert form["json_schema"] == {"name": "Otter", "schema": Otter.model_json_schema()}
