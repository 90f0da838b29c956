"""Recorded runs of other people's agents are stopped where they must be (bench/replay.py)."""

import gzip
import json
import subprocess
import sys
from pathlib import Path

import pytest

from bench import replay, replay_bursts, replay_report
from bench.replay_core import FREE, GUARDS, Guard, play
from bench.replay_script import attempts, calls, liberties, turns
from bench.replay_traces import Trace, Turn, read
from envelopes import limits

ROOT = Path(__file__).parents[1]
DATA = ROOT / "tests" / "data"
HOPS, REPEAT, RESTART = GUARDS


@pytest.fixture(scope="module")
def recorded():
    [whowhen] = read(DATA)
    return whowhen


@pytest.fixture(scope="module")
def runs(recorded):
    return replay_report.replay(recorded)


def trace(*told, answer=None):
    """Write a run as rows of kind, agent, text, whom it sends, and the attempt."""
    rows = [(*row, *("", "", 1)[len(row) - 2 :]) for row in told]
    return Trace(
        "t",
        "fail",
        tuple(
            Turn(i=i, kind=kind, agent=agent, nsha=text, to=to, tok=10, attempt=attempt)
            for i, (kind, agent, text, to, attempt) in enumerate(rows)
        ),
        answer,
    )


def stop(run, guard):
    """Return where a run is stopped, and by which rule."""
    ending = play(run, guard, guard.read(run))
    assert not ending.lost
    return ending.stop, ending.why


# --- Who&When, against the oracle ----------------------------------------------------------------


def test_every_recorded_run_is_stopped_exactly_where_the_oracle_says(runs):
    """Issue: "Every trace must stop exactly where the independent oracle says"."""
    assert [text for run in runs for text in run.disagreements] == []
    stopped = {g.name: sum(run.endings[g.name].stop is not None for run in runs) for g in GUARDS}
    assert stopped == {HOPS.name: 15, REPEAT.name: 5, RESTART.name: 0}


def test_what_a_run_costs_is_what_the_oracle_counts(runs):
    """Issue: "token sums must equal the oracle's"."""
    assert [run.trace.id for run in runs if run.sums_differ] == []
    assert sum(run.expected.tok_out for run in runs) > 0


def test_no_recorded_run_is_lost(runs):
    """Issue: "none may be lost"."""
    assert len(runs) == 130
    assert [run.trace.id for run in runs if run.lost] == []


def test_a_stop_saves_what_was_not_spent_any_more(runs):
    """Issue: "Report ... tokens saved on failed ones"."""
    row = replay_report.of_set(runs)["guards"][HOPS.name]
    spared = [run for run in runs if run.endings[HOPS.name].stop is not None]
    after = sum(
        turn.tok
        for run in spared
        for turn in run.trace.paid
        if turn.i > run.endings[HOPS.name].stop
    )
    assert row["saved"]["fail"]["tok_out"] == after  # the words that were refused are paid for


def test_with_every_guard_off_a_run_goes_on_to_its_end(recorded):
    """replay_core.py: "no guard is computed here" - so what is switched off stops nobody."""
    looping = [run for run in recorded.traces if recorded.expected[run.id].stop[HOPS.name]]
    assert {stop(run, FREE) for run in looping} == {(None, "")}
    later = Guard("hops>20", calls, {"hops_max": 20})
    wanted = {run.id: recorded.expected[run.id].stop["hop_invocation>20"] for run in looping}
    assert {run.id: stop(run, later)[0] for run in looping} == wanted


# --- how a run is told ---------------------------------------------------------------------------


def test_the_third_time_the_same_words_are_sent_they_are_not():
    """README of the replays: "the third time the same key appears, anywhere in the trace"."""
    send, other = ("dispatch", "boss", "go", "ann"), ("dispatch", "boss", "stop", "ann")
    work = ("work", "ann", "a")
    run = trace(send, work, other, ("work", "ann", "b"), send, ("work", "ann", "c"), send)
    assert stop(run, REPEAT) == (6, "repetition")
    assert stop(trace(send, work, other, ("work", "ann", "b"), send), REPEAT) == (None, "")


def test_the_third_time_an_agent_says_the_same_is_the_last():
    """Issue: "the same answer 58 times in a row stops at the third"."""
    run = trace(*[("work", "ann", "the answer is 4")] * 58)
    assert stop(run, REPEAT) == (2, "same_answer")


def test_the_same_words_of_two_agents_are_no_repetition():
    """README of the replays: "key = (agent, `to` for a dispatch, `nsha`)"."""
    run = trace(*[("work", "ann", "yes"), ("work", "bob", "yes")] * 2)
    assert stop(run, REPEAT) == (None, "")


def test_a_run_that_begins_again_is_stopped_before_its_first_call():
    """README of the replays: "the first ... turn that belongs to a second attempt"."""
    run = trace(
        ("restart", "system", ""),
        ("dispatch", "boss", "go", "ann", 1),
        ("work", "ann", "a", "", 1),
        ("restart", "system", "", "", 2),
        ("dispatch", "boss", "go on", "ann", 2),
        ("work", "ann", "b", "", 2),
    )
    assert stop(run, RESTART) == (4, "plan_refused")
    assert play(run, RESTART, attempts(run)).spent.tokens == 20


def test_every_call_pays_for_its_whole_context_and_a_new_attempt_for_its_own():
    """README of the replays: "every call pays its context again; a `restart` resets it"."""
    run = trace(
        ("task", "user", ""),
        ("work", "ann", "a"),
        ("tool", "proxy", ""),
        ("internal", "ann", "b"),
        ("restart", "system", "", "", 2),
        ("work", "ann", "c", "", 2),
    )
    assert {i: cost.usd_micros for i, cost in run.costs().items()} == {1: 20, 3: 40, 5: 20}


def test_an_attempt_without_a_call_was_never_begun():
    """replay_script.py: "An attempt without a paid turn was never begun"."""
    run = trace(
        ("restart", "system", ""),
        ("restart", "system", "", "", 2),
        ("dispatch", "boss", "go", "ann", 2),
        ("work", "ann", "a", "", 2),
    )
    assert stop(run, RESTART) == (None, "")


def test_a_dispatch_is_a_hop_and_what_follows_is_its_agents_work():
    """Issue: "each recorded dispatch a hop"."""
    run = trace(
        ("dispatch", "boss", "go", "ann"),
        ("internal", "ann", "i"),
        ("work", "ann", "a"),
        ("work", "ann", "more"),
        ("work", "bob", "b"),
        ("dispatch", "boss", "go", "bob"),
    )
    assert [(hop.agent, hop.turn, hop.answered) for hop in calls(run).hops] == [
        ("ann", 0, 4),
        ("bob", 5, None),
    ]
    assert [(hop.agent, hop.turn, hop.answered) for hop in turns(run).hops] == [
        ("ann", 0, 2),
        ("ann", 3, 3),
        ("bob", 4, 4),
        ("bob", 5, None),
    ]


def test_what_cannot_be_told_as_it_was_is_counted():
    """replay_script.py: "Count where `calls` cannot tell a run quite as it was"."""
    run = trace(
        ("dispatch", "boss", "go", "ann"),
        ("work", "bob", "b"),
        ("dispatch", "boss", "go", "bob"),
        ("dispatch", "boss", "go", "ann"),
        ("work", "ann", "a"),
        ("dispatch", "boss", "go", "ann"),
    )
    assert liberties(run) == {
        "dispatches_without_an_answer": 2,
        "answers_of_somebody_not_sent": 1,
        "nothing_recorded": 0,
    }
    assert liberties(trace(("restart", "system", "")))["nothing_recorded"] == 1


def test_whoever_sends_somebody_has_paid_for_the_words():
    """replay_script.py: a refused message was written all the same, and is booked."""
    run = trace(*[("dispatch", "boss", f"go {n}", "ann") for n in range(14)])
    assert play(run, HOPS, calls(run)).spent.tokens == 130
    assert play(run, FREE, calls(run)).spent.tokens == 140


def test_a_run_in_which_nothing_is_recorded_ends_too():
    """Issue: "none may be lost"."""
    empty = trace(("restart", "system", ""))
    assert [stop(empty, guard)[0] for guard in (FREE, *GUARDS)] == [None] * 4


def test_a_false_stop_may_have_had_the_answer_in_hand():
    """Issue: "how many stopped successes still delivered an answer already in hand"."""
    run = trace(*[("work", "ann", str(n)) for n in range(20)], answer=5)
    ending = play(run, HOPS, calls(run))
    assert (ending.stop, ending.delivered) == (limits.HOPS_DEFAULT, limits.HOPS_DEFAULT - 1)


# --- bursts --------------------------------------------------------------------------------------


def calls_at(*told):
    """Write a run of calls to a model, each with its second and what became of it."""
    turns = [Turn(i=i, agent="llm", kind=kind, t=t) for i, (kind, t) in enumerate(told)]
    return Trace("b", "finished", tuple(turns))


def test_a_breaker_spares_the_rest_of_a_burst_and_probes_when_it_is_over():
    """Issue: "how many ... failed calls the breaker spares, and how many bursts still recover"."""
    run = calls_at(("call", 1), *[("fault", t) for t in range(2, 12)], ("call", 20), ("call", 21))
    assert replay_bursts.replay([run]) == {
        "runs": 1,
        "calls": 3,
        "failed": 10,
        "spared": 10 - limits.BREAKER_FAULTS,
        "bursts": 1,
        "long_bursts": 1,
        "recovered": 1,
        "ended_by_the_record": 0,
        "waited_s": 6 + limits.BREAKER_OPEN_MS // 1000 - 20,
    }


def test_a_short_burst_costs_nobody_any_time():
    """Issue: "consecutive faults (5) ... opens it"."""
    run = calls_at(("fault", 1), ("fault", 2), ("call", 3), ("fault", 9))
    counted = replay_bursts.replay([run])
    assert (counted["spared"], counted["waited_s"]) == (0, 0)
    assert (counted["recovered"], counted["ended_by_the_record"]) == (1, 1)


# --- the command ---------------------------------------------------------------------------------


def bench(data, *more):
    command = [sys.executable, "bench/replay.py", "--data", str(data), *more]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def test_the_bench_prints_one_json_object():
    """Issue: "one JSON object: `traces`, `mismatches`, `token_mismatches`, `lost`"."""
    done = bench(DATA, "--json")
    report = json.loads(done.stdout)
    assert (report["traces"], report["mismatches"], report["lost"]) == (130, 0, 0)
    assert report["token_mismatches"] == 0
    assert {"false_stops", "saved"} <= report["sets"]["whowhen.dev"]["guards"][HOPS.name].keys()
    assert done.returncode == 0


def test_a_stop_at_another_turn_than_the_oracles_fails_the_bench(tmp_path, recorded):
    """replay.py: "else the exit code is 1"."""
    run = next(run for run in recorded.traces if recorded.expected[run.id].stop[HOPS.name])
    wrong = recorded.expected[run.id]
    said = {"id": run.id, "tok_out": wrong.tok_out + 1, "tok_ctx": wrong.tok_ctx}
    told = {**said, "stop": {**wrong.stop, HOPS.name: wrong.stop[HOPS.name] + 1}}
    with gzip.open(DATA / "whowhen.dev.jsonl.gz", "rt") as lines:
        line = next(line for line in lines if json.loads(line)["id"] == run.id)
    (tmp_path / "one.jsonl").write_text(line)
    (tmp_path / "oracle.one.jsonl").write_text(json.dumps(told))
    done = bench(tmp_path)
    assert f"{run.id}: {HOPS.name} at {wrong.stop[HOPS.name]}, expected" in done.stdout
    assert "1 mismatches, 1 token mismatches, 0 lost" in done.stdout
    assert done.returncode == 1


def test_through_server_orchestrators_and_workers_runs_stop_where_they_must(recorded):
    """Issue: "for a sample, through real Redis and workers"."""
    report = replay.real([recorded], 6)
    figures = {name: report[name] for name in ("traces", "mismatches", "token_mismatches", "lost")}
    assert figures == {"traces": 6, "mismatches": 0, "token_mismatches": 0, "lost": 0}
