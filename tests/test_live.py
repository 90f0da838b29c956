"""Live events: complete, in order, and never waiting for anybody.

A real http process in front of the real server; the clients are bare sockets.
"""

import asyncio
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from envelopes import Amounts, Envelope
from envelopes.seal import Signer
from orchestrator import intake
from orchestrator.http.hub import Hints, Hub
from orchestrator.http.ring import Item, Ring, frame
from orchestrator.serve import Orchestrator
from orchestrator.store import Store
from orchestrator.tokens import Credential, Tokens, id_of
from orchestrator.view import view
from orchestrator.wire import Wire
from tests.front import Front
from tests.hands import Hand
from tests.sse import Event, Sse
from tests.until import PATIENCE_S, soon, until
from tests.web import running

WITHIN_S = 100
"""What anything here may take at most; it takes a fraction of it."""
PATIENT = {"LIVE_REREAD_S": 600, "LIVE_ALIVE_S": 600}
"""Nothing is looked at unasked: what is told was heard, not found by chance."""
FEW_BYTES = 4_096
"""What a slow client's socket takes in before its sender feels it."""
STEPS = [{"id": f"s{n}", "agent": "say", "needs": [f"s{n - 1}"] if n else []} for n in range(4)]


class Desk:
    """A server, an http process in front of it, an orchestrator's loop and a worker by hand."""

    def __init__(self, fresh, front: Front) -> None:
        self.client, self.keys, self.front = fresh.client, fresh.keys, front
        self.store = Store(fresh.client, fresh.keys)
        self.loop = Orchestrator(self.store, Wire(Signer(bytes(range(32))), fresh.keys))
        self.hand = Hand(fresh.client, fresh.keys, "say")

    def submit(self, **more: Any) -> str:
        """Accept a task of four steps, one after the other."""
        fields = {
            "goal": "say it",
            "plan": STEPS,
            "budget": {"calls": 20},
            "timeout": "10m",
            "until": {"kind": "plan_done"},
        }
        return self.store.submit(intake.submission({**fields, **more})).task_id

    def step(self) -> None:
        """Decide what is due, and answer what was asked."""
        while self.loop.turn(idle_ms_max=1):
            pass
        for job in self.hand.take():
            self.hand.answer(job, Envelope.success(job.headers.step, 0.9), Amounts(0, 0, 1))

    def finish(self, task: str) -> None:
        """Run a task to its end."""

        def over() -> bytes | None:
            self.step()
            return self.store.task(task).get("outcome")

        assert until("it ends", over) == b"completed"

    def tell(self, event: str = "task.accepted", **fields: Any) -> str:
        """Tell news by hand."""
        about = {"event": event, "at_ms": 1, "task": "t", "tenant": "default", **fields}
        return self.client.xadd(self.keys.news, about).decode()

    async def events(self, path: str = "/v1/events", token: str = "", **more: Any) -> Sse:
        """Open a stream and see that it is one."""
        stream = await Sse.open(self.front.port, path, token or self.front.token, **more)
        assert (await stream.answered()).status == 200
        return stream

    async def refused(self, path: str, token: str = "", **more: Any) -> dict[str, Any]:
        """Open what is refused, and return the problem."""
        stream = await Sse.open(self.front.port, path, token or self.front.token, **more)
        return (await stream.answered()).problem(await stream.body())


Started = Callable[..., Desk]


@pytest.fixture
def start(fresh, tmp_path: Path) -> Iterator[Started]:
    with ExitStack() as running:

        def started(**limits: float) -> Desk:
            front = Front(fresh.url, fresh.client, fresh.keys, tmp_path / "http.log", **limits)
            return Desk(fresh, running.enter_context(front))

        yield started


def run(coroutine: Any) -> Any:
    async def bounded() -> Any:
        async with asyncio.timeout(WITHIN_S):
            return await coroutine

    return asyncio.run(bounded())


async def both(stream: Sse, news: str, about: str) -> list[Event]:
    """Read until this was told and this task shown; they are heard on two connections."""
    seen: list[Event] = []
    async for event in stream.events():
        seen.append(event)
        if {news, about} <= {one.name if one.name != "task" else one.data["task"] for one in seen}:
            return seen
    raise AssertionError(f"the stream ended after {seen}")


def places(events: list[Event], name: str) -> list[int]:
    return [event.data["n"] for event in events if event.name == name]


# --- one task ------------------------------------------------------------------------------------


def test_a_stream_tells_every_line_of_a_journal_then_the_end(start: Started):
    """Issue: «server-sent events per task»: one for each line, and `end` once it is over."""
    desk = start(**PATIENT)
    task = desk.submit()

    async def follow() -> list[Event]:
        stream = await desk.events(f"/v1/tasks/{task}/events")
        assert stream.headers["content-type"].startswith("text/event-stream")
        assert stream.headers["cache-control"] == "no-store"
        assert stream.headers["x-accel-buffering"] == "no"
        seen = [*await stream.take(1, "task")]
        await asyncio.to_thread(desk.finish, task)
        seen += await stream.until("end")
        assert await stream.ended()
        return seen

    told = run(follow())
    lines = desk.store.journal(task)
    assert places(told, "note") == list(range(len(lines)))
    states = [event.data for event in told if event.name == "task"]
    assert states[0]["state"] == "submitted"
    assert states[-1] == as_read(desk, task)
    assert [one["version"] for one in states] == sorted({one["version"] for one in states})


def as_read(desk: Desk, task: str) -> dict[str, Any]:
    import json

    return json.loads(json.dumps(view(task, desk.store.task(task)).as_json()))


def test_who_was_cut_off_goes_on_behind_the_last_line(start: Started):
    """Issue: «server-sent events»: a client comes again by itself and says how far it was."""
    desk = start(LIVE_FOLLOW_BYTES=1)  # what is old is read by whoever needs it
    task = desk.submit()
    desk.finish(task)

    async def follow() -> tuple[list[Event], list[Event], list[Event]]:
        path = f"/v1/tasks/{task}/events"
        first = await desk.events(path)
        some = await first.take(3, "note")
        first.close()
        rest = await (await desk.events(path, last=some[-1].id)).until("end")
        asked = await (await desk.events(f"{path}?after={some[-1].id}")).until("end")
        return some, rest, asked

    some, rest, asked = run(follow())
    every = list(range(len(desk.store.journal(task))))
    assert places(some, "note") + places(rest, "note") == every
    assert places(asked, "note") == places(rest, "note")


def test_lines_that_are_gone_are_said_to_be(start: Started):
    """README: «no message disappears silently»."""
    desk = start()
    task = desk.submit()
    desk.finish(task)
    desk.client.ltrim(desk.keys.journal(task), 3, -1)

    async def follow() -> list[Event]:
        return await (await desk.events(f"/v1/tasks/{task}/events")).until("end")

    told = run(follow())
    assert [event.name for event in told][:2] == ["gap", "note"]
    assert places(told, "note")[0] == 3


def test_many_who_follow_one_task_read_it_once(start: Started):
    """ARCHITECTURE: a task is read once for all who follow it, however many they are."""
    desk = start(**PATIENT)
    task = desk.submit()

    async def follow() -> list[list[Event]]:
        path = f"/v1/tasks/{task}/events"
        streams = [await desk.events(path) for _ in range(50)]
        for stream in streams:
            await stream.take(1, "task")
        await asyncio.to_thread(desk.client.config_resetstat)
        await asyncio.to_thread(desk.finish, task)
        return list(await asyncio.gather(*(stream.until("end") for stream in streams)))

    told = run(follow())
    read = desk.client.info("commandstats")["cmdstat_hgetall"]["calls"]
    every = list(range(len(desk.store.journal(task))))
    assert all(places(one, "note") == every for one in told)
    assert read < 50, f"{read} readings for 50 followers"


def test_a_task_of_another_tenant_is_no_task(start: Started):
    """README: a token of a tenant sees that tenant only; others' tasks do not exist for it."""
    desk = start()
    theirs = desk.submit(tenant="theirs")
    ours = desk.front.new_token("ours")

    async def ask() -> list[dict[str, Any]]:
        return [
            await desk.refused(f"/v1/tasks/{theirs}/events", ours),
            await desk.refused(f"/v1/tasks/{'0' * 32}/events", ours),
        ]

    problems = run(ask())
    assert [one["status"] for one in problems] == [404, 404]
    assert problems[0]["detail"] == problems[1]["detail"].replace("0" * 32, theirs)


# --- all news ------------------------------------------------------------------------------------


def test_what_happens_is_told_with_its_place(start: Started):
    """Issue: «server-sent events ... for all», each with a place from which to go on."""
    desk = start(**PATIENT)

    async def follow() -> tuple[str, list[Event]]:
        stream = await desk.events()
        task = await asyncio.to_thread(desk.submit)
        await asyncio.to_thread(desk.finish, task)
        return task, await both(stream, "task.ended", task)

    task, told = run(follow())
    news = {event.name: event for event in told if event.name != "task"}
    assert set(news) == {"task.accepted", "task.ended"}
    assert news["task.ended"].data["outcome"] == "completed"
    assert news["task.ended"].id == desk.store.last_news()
    hints = [event.data for event in told if event.name == "task"]
    assert (hints[0]["task"], hints[0]["state"]) == (task, "working")
    assert [one["version"] for one in hints] == sorted({one["version"] for one in hints})


def test_who_comes_again_misses_nothing_and_hears_nothing_twice(start: Started):
    """Issue: «it recovers by itself»: nothing is missed, nothing told twice."""
    desk = start()

    async def follow() -> list[str]:
        first = await desk.events()
        desk.tell()
        heard = [event.id for event in await first.take(1)]
        first.close()
        missed = [desk.tell() for _ in range(1_200)]
        again = await desk.events(last=heard[0])
        late = [desk.tell() for _ in range(3)]
        heard = [event.id for event in await again.take(len(missed) + len(late))]
        assert heard == missed + late
        before = await desk.events(f"/v1/events?after={heard[5]}")
        assert [event.id for event in await before.take(3)] == heard[6:9]

    run(follow())


def test_who_comes_while_much_happens_hears_each_thing_once(start: Started):
    """Issue: «it recovers by itself»: what is read and what is heard meanwhile overlap, unheard."""
    desk = start()
    first, count = desk.tell(), 800

    def tell() -> list[str]:
        return [desk.tell() for _ in range(count)]

    async def follow() -> tuple[list[str], list[list[Event]]]:
        telling = asyncio.create_task(asyncio.to_thread(tell))
        streams = [await desk.events(last=first) for _ in range(10)]
        heard = await asyncio.gather(*(stream.take(count) for stream in streams))
        return await telling, heard

    told, heard = run(follow())
    assert all([event.id for event in one] == told for one in heard)


def test_a_new_stream_has_a_place_before_anything_happens(start: Started):
    """Issue: «it recovers by itself», also a stream cut off before its first event."""
    desk = start()

    async def follow() -> None:
        before = await desk.events()
        last = desk.tell()
        await before.take(1)  # so this process has heard of it
        stream = await desk.events()
        listening = asyncio.create_task(stream.ended())
        await soon("it has a place", lambda: stream.last_id)
        listening.cancel()
        assert stream.last_id == last

    run(follow())


def test_a_stream_begins_once_the_server_is_heard(fresh, monkeypatch: pytest.MonkeyPatch):
    """ARCHITECTURE: an outage loses no news, nor does a process that has only just started."""
    reached, hear = threading.Event(), Hub._hear

    async def late(hub: Hub) -> None:
        assert await asyncio.to_thread(reached.wait, PATIENCE_S)
        await hear(hub)

    monkeypatch.setattr(Hub, "_hear", late)

    async def follow(port: int, token: str) -> list[str]:
        stream = await Sse.open(port, "/v1/events", token)
        answer = asyncio.create_task(stream.answered())
        early, _ = await asyncio.wait({answer}, timeout=0.3)
        reached.set()
        assert not early, "what happens now is told to nobody"
        await answer
        told = fresh.client.xadd(fresh.keys.news, {"event": "last", "at_ms": 1}).decode()
        return [told, *(event.id for event in await stream.take(1))]

    with running(fresh) as web:
        told, heard = run(follow(int(web.url.rpartition(":")[2]), web.token()))
    assert heard == told


def test_news_that_are_not_kept_any_more_are_a_gap(start: Started):
    """README: «no message disappears silently»: whoever missed news is told so."""
    desk = start()
    old = desk.tell()
    kept = [desk.tell() for _ in range(3)]
    desk.client.xtrim(desk.keys.news, 2, approximate=False)

    async def follow(after: str, count: int) -> list[Event]:
        return await (await desk.events(last=after)).take(count)

    told = run(follow(old, 3))
    assert [event.name for event in told] == ["gap", "task.accepted", "task.accepted"]
    assert [event.id for event in told[1:]] == kept[1:]
    assert [event.name for event in run(follow(kept[1], 1))] == ["task.accepted"]


def test_a_tenants_token_hears_its_tenants_only(start: Started):
    """README: a token of a tenant sees that tenant only: of news and of hints."""
    desk = start()
    ours = desk.front.new_token("ours")

    async def follow() -> list[Event]:
        stream = await desk.events(token=ours)
        for tenant in ("theirs", "ours"):
            task = await asyncio.to_thread(lambda t=tenant: desk.submit(tenant=t))
            await asyncio.to_thread(desk.finish, task)
        desk.tell("subscription.disabled", tenant="")
        desk.tell("last", tenant="ours")
        return await both(stream, "last", task)

    told = run(follow())
    assert {event.name for event in told} == {"task.accepted", "task", "task.ended", "last"}
    tasks = {event.data["task"] for event in told if event.name != "last"}
    assert [desk.store.task(task)["tenant"] for task in tasks] == [b"ours"]


def test_only_the_kinds_asked_for_are_told(start: Started):
    """Issue: «server-sent events»: whoever wants letters only is told of nothing else."""
    desk = start()

    async def follow() -> list[Event]:
        stream = await desk.events("/v1/events?kinds=letter.filed&kinds=letter.decided")
        desk.tell("task.accepted")
        desk.tell("letter.filed")
        desk.tell("task.ended")
        desk.tell("letter.decided")
        return await stream.take(2)

    assert [event.name for event in run(follow())] == ["letter.filed", "letter.decided"]


def test_what_cannot_be_followed_is_refused_by_name(start: Started):
    """Issue: «errors as RFC 9457 problem details that name the field»."""
    desk = start()

    async def ask() -> list[tuple[int, str]]:
        problems = [
            await desk.refused("/v1/events", last="yesterday"),
            await desk.refused("/v1/events?kinds=<script>"),
            await desk.refused("/v1/events?for_s=0"),
            await desk.refused("/v1/tasks/any/events", last="-1"),
        ]
        return [(one["status"], one["field"]) for one in problems]

    fields = ["after", "kinds.0", "for_s", "Last-Event-ID"]
    assert run(ask()) == [(422, field) for field in fields]


# --- time and outages ----------------------------------------------------------------------------


def test_an_outage_is_said_once_and_loses_nothing(start: Started, server):
    """Issue: «server restart while the page is open (it recovers by itself)»."""
    desk = start(**PATIENT)
    task = desk.submit()

    async def follow() -> tuple[list[Event], list[Event], list[str]]:
        news, one = await desk.events(), await desk.events(f"/v1/tasks/{task}/events")
        await one.take(1, "task")
        await asyncio.to_thread(server.kill)
        before = await asyncio.gather(news.until("away"), one.until("away"))
        await asyncio.to_thread(server.restart)
        told = [await asyncio.to_thread(desk.tell) for _ in range(3)]
        await asyncio.to_thread(desk.finish, task)
        after = await asyncio.gather(news.until("task.ended"), one.until("end"))
        return *(first + then for first, then in zip(before, after, strict=True)), told

    news, one, told = run(follow())
    for heard in (news, one):
        turns = [event.name for event in heard if event.name in {"away", "back"}]
        assert turns == ["away", "back"] * (len(turns) // 2), "each of them once"
    # It may begin with one that was told before it, and was heard after.
    ids = [event.id for event in news if event.name == "task.accepted"]
    assert ids[-len(told) :] == told
    assert len(set(ids)) == len(ids) <= len(told) + 1
    assert places(one, "note") == list(range(len(desk.store.journal(task))))


def test_a_silent_stream_says_that_it_lives(start: Started):
    """ARCHITECTURE: silence is broken, so that nobody on the way takes it for death."""
    desk = start(LIVE_ALIVE_S=0.05)

    async def follow() -> None:
        stream = await desk.events()
        listening = asyncio.create_task(stream.ended())
        await soon("it says so again and again", lambda: stream.comments > 3)
        listening.cancel()

    run(follow())


@pytest.mark.parametrize("how", ["revoked", "expired"])
def test_the_streams_of_a_token_end_with_it(start: Started, fresh, how: str):
    """Issue: «bearer tokens»: whoever's token is revoked sees no more of what happens."""
    desk = start(LIVE_ALIVE_S=0.05, LIVE_CHECK_S=0.1)
    token = desk.front.new_token()

    async def follow() -> bool:
        stream, other = await desk.events(token=token), await desk.events()
        tokens = Tokens(fresh.client, fresh.keys)
        if how == "revoked":
            tokens.revoke(id_of(token))
        else:
            expire(fresh, token)
        assert await stream.ended()
        desk.tell()
        return bool(await other.take(1))

    assert run(follow())


def expire(fresh, token: str) -> None:
    one = Tokens(fresh.client, fresh.keys).find(id_of(token))
    over = one.model_copy(update={"expires_ms": 1})
    fresh.client.hset(fresh.keys.tokens, one.id, over.kept())


@pytest.mark.parametrize("proxy_login", [None, "YTpi"])
def test_streams_end_with_a_session(start: Started, fresh, proxy_login: str | None):
    """Issue: «login»: whoever has logged out sees no more of what happens.

    Behind a proxy with a password of its own, the browser shows that one beside the cookie.
    """
    desk = start(LIVE_ALIVE_S=0.05, LIVE_CHECK_S=0.1)
    tokens = Tokens(fresh.client, fresh.keys)
    _, cookie = tokens.open_session(Credential.token(desk.front.token), "here")

    async def follow() -> bool:
        stream = await Sse.open(
            desk.front.port, "/v1/events", "", cookie=cookie, proxy_login=proxy_login
        )
        assert (await stream.answered()).status == 200
        tokens.close_session(cookie)
        return await stream.ended()

    assert run(follow())


def test_a_server_that_stops_ends_its_streams(start: Started):
    """README: «SIGTERM ends what is under way»; a stream has no end of its own to wait for."""
    desk = start()

    async def follow() -> tuple[bool, int]:
        stream = await desk.events()
        desk.front.process.send_signal(signal.SIGTERM)
        proper = await stream.ended()
        return proper, await asyncio.to_thread(desk.front.process.wait, PATIENCE_S)

    proper, code = run(follow())
    assert proper
    assert code in {0, -signal.SIGTERM}


def test_streams_are_bounded_by_token_and_by_process(start: Started):
    """Issue: «1,000 open SSE clients on one process»: what is beyond is refused, not queued."""
    desk = start(LIVE_STREAMS_TOKEN_MAX=2, LIVE_STREAMS_MAX=3)
    tokens = [desk.front.new_token() for _ in range(2)]

    async def open_one(token: str) -> Sse:
        return await (await Sse.open(desk.front.port, "/v1/events", token)).answered()

    async def follow() -> tuple[dict[str, Any], dict[str, Any]]:
        first, _kept = [await desk.events(token=tokens[0]) for _ in range(2)]
        third = await desk.refused("/v1/events", tokens[0])
        second = await desk.events(token=tokens[1])
        fourth = await desk.refused("/v1/events", tokens[1])
        first.close()
        for _ in range(WITHIN_S * 20):
            if (await open_one(tokens[1])).status == 200:
                return third, fourth
            await asyncio.sleep(0.05)  # until the process has seen it leave
        raise AssertionError(f"{second} still keeps the seat of one that left")

    third, fourth = run(follow())
    assert (third["status"], third["type"]) == (429, "urn:buckstop:problem:too-many")
    assert (fourth["status"], fourth["type"]) == (503, "urn:buckstop:problem:full")


# --- slow clients --------------------------------------------------------------------------------


def test_who_never_reads_is_closed_and_delays_nobody(start: Started):
    """Issue: «a slow client never delays others». Everything comes, in order, at all who read."""
    desk = start(LIVE_WRITE_S=10)  # longer than a machine stands still
    count, why = 600, "x" * 500

    def tell() -> list[str]:
        told = []
        for _ in range(count // 100):
            with desk.client.pipeline(transaction=False) as pipe:
                for _ in range(100):
                    pipe.xadd(desk.keys.news, {"event": "letter.filed", "at_ms": 1, "why": why})
                told += [each.decode() for each in pipe.execute()]
        return told

    async def follow() -> tuple[list[str], list[list[Event]]]:
        never = await desk.events(receive_bytes=FEW_BYTES)
        streams = [await desk.events() for _ in range(100)]
        telling = asyncio.create_task(asyncio.to_thread(tell))
        heard = await asyncio.gather(*(stream.take(count) for stream in streams))
        await never.cut_off()
        return await telling, heard

    before = desk.front.memory_kb()
    told, heard = run(follow())
    assert all([event.id for event in one] == told for one in heard)
    assert desk.front.memory_kb() - before < 64 * 1024


def test_a_listener_too_far_behind_has_lost_its_place():
    """Issue: «a slow client never delays others»: the ring goes on without it."""

    async def listen() -> None:
        ring = Ring(3)
        begun = ring.end
        for number in range(4):
            ring.add(Item("any", "t", None, frame("any", {"n": number})))
        assert ring.after(begun, 10) is None
        assert [item.frame for item in ring.after(begun + 1, 2)] == [
            frame("any", {"n": 1}),
            frame("any", {"n": 2}),
        ]
        assert ring.after(ring.end, 10) == []

    run(listen())


def test_what_comes_in_a_burst_is_told_together_and_none_is_left():
    """ARCHITECTURE: the first is told at once, and what follows soon goes in one piece."""

    async def listen() -> None:
        ring, item = Ring(3), Item("any", "t", None, frame("any", {}))
        at_once = ring.told.next
        ring.add(item)
        assert at_once.is_set()
        later = ring.told.next
        ring.add(item)
        ring.add(item)
        assert not later.is_set()
        await later.wait()

    run(listen())


def test_of_many_hints_the_first_and_the_last_are_told():
    """ARCHITECTURE: of many hints about a task only the last counts, and that is never lost."""

    async def listen() -> list[tuple[str, bytes]]:
        told: list[tuple[str, bytes]] = []
        enough = asyncio.Event()

        def tell(task: str, line: bytes) -> None:
            told.append((task, line))
            if line == b"99":
                enough.set()

        hints = Hints(tell)
        hints.hear("other", b"1")
        for number in range(100):
            hints.hear("t", str(number).encode())
        await enough.wait()
        hints.close()
        return told

    assert run(listen()) == [("other", b"1"), ("t", b"0"), ("t", b"99")]


def test_an_event_is_always_one_line(start: Started):
    """Issue: «agent text is hostile»: no text can end an event and begin another."""
    desk = start()
    why = "\n\nevent: task.ended\ndata: {}\r\r\u2028 \x00 \udcff".encode("utf-8", "replace")

    async def follow() -> list[Event]:
        stream = await desk.events()
        desk.tell("letter.filed", why=why)
        desk.tell("last")
        return await stream.until("last")

    told = run(follow())
    assert [event.name for event in told] == ["letter.filed", "last"]
    assert told[0].data["why"] == why.decode()
