"""Bugs that the simulation must find: one wrong line each.

A list of mistakes that somebody could make tomorrow, in the core, in its patterns and judges, in
the store's semantics and in the meter's. Each names one line that stands exactly once in its file,
and what it becomes. If a line is changed for a good reason, change it here too: a bug that cannot
be planted tests nothing.
"""

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True)
class Bug:
    """One wrong line."""

    name: str
    file: str
    line: str
    wrong: str


def _core(module: str, name: str, line: str, wrong: str) -> Bug:
    return Bug(name, f"orchestrator/core/{module}.py", line, wrong)


def _ledger(name: str, line: str, wrong: str) -> Bug:
    return Bug(name, "envelopes/ledger.py", line, wrong)


def _store(module: str, name: str, line: str, wrong: str) -> Bug:
    return Bug(name, f"orchestrator/sim/store/{module}.py", line, wrong)


CORE: Final = (
    _core(
        "absorb",
        "what a lost worker had spent is not booked",
        "charged = claim.charged",
        "charged = type(claim.charged)()",
    ),
    _core(
        "absorb",
        "a letter that comes twice is absorbed twice",
        "place = places.pop(letter.subtask, None)",
        "place = places.get(letter.subtask)",
    ),
    _core(
        "absorb",
        "an unsure step counts as done though somebody else could try",
        "return unsure and crew.next_agent(turn, step) is not None",
        "return False",
    ),
    _core(
        "absorb",
        "a silent worker is waited for",
        "return turn.now_ms >= claim.beat_ms + limits.LEASE_MS",
        "return False",
    ),
    _core(
        "absorb",
        "a hung agent is waited for",
        "return turn.now_ms >= claim.since_ms + step.plan.timeout_ms",
        "return False",
    ),
    _core(
        "absorb",
        "a message that is gone is waited for",
        "return waited >= limits.PATIENCE_MS and not claim.queued",
        "return False",
    ),
    _core(
        "absorb",
        "poison is handed out for ever",
        "if lost < limits.LOST_MAX:",
        "if lost < limits.LOST_MAX * 1000:",
    ),
    _core(
        "absorb",
        "a step is sent again after its worker was told to go, one hop further",
        'return {"phase": StepPhase.WAITING, "next_hop": step.hop}',
        'return {"phase": StepPhase.WAITING, "next_hop": step.hop + 1}',
    ),
    _core(
        "decide",
        "a deadline is a suggestion",
        "if turn.now_ms < turn.task.deadline_ms:",
        "if turn.now_ms < turn.task.deadline_ms + 60_000:",
    ),
    _core(
        "decide",
        "a cancelled task counts as completed",
        'return _after(owner.conclude(turn, Outcome.ABORTED, "cancelled", result))',
        'return _after(owner.conclude(turn, Outcome.COMPLETED, "cancelled", result))',
    ),
    _core(
        "decide",
        "a wish to stop waits for everything else",
        "if turn.task.cancelled is None:",
        "if turn.task.cancelled is None or turn.places(StepPhase.OPEN):",
    ),
    _core(
        "decide",
        "the hop cap is off by one",
        "over = next((each for each in outgoing if each.hop > turn.task.hops_max), None)",
        "over = next((each for each in outgoing if each.hop > turn.task.hops_max + 1), None)",
    ),
    _core(
        "decide",
        "subtasks are not counted",
        "if task.subtasks + len(outgoing) <= task.terms.subtasks_max:",
        "if len(outgoing) <= task.terms.subtasks_max:",
    ),
    _core(
        "planner",
        "re-plans are not counted",
        "return task.replans < task.terms.replans_max and hop < task.hops_max",
        "return hop < task.hops_max",
    ),
    _core(
        "decide",
        "a handoff costs no hop",
        "        next_hop=step.hop + 1,",
        "        next_hop=step.hop,",
    ),
    _core(
        "finish",
        "confidence is not asked for",
        "held = result is not None and result.confidence >= until.at_least",
        "held = False",
    ),
    _core(
        "gate",
        "the bar is not looked at",
        "bar = task.terms.confidence_min",
        "bar = 0.0",
    ),
    _core(
        "gate",
        "the schema is not looked at",
        "wrong = None if schema is None else misfit(schema, result)",
        "wrong = None",
    ),
    _core(
        "owner",
        "a task ends with its workers still at work",
        "opened = turn.open_subtasks()",
        "opened = ()",
    ),
    _core(
        "desk",
        "a letter stays on the desk after it was decided",
        "turn.commands.append(CloseLetter(letter.id, verb, by, why, decided_as, judged, said))",
        "turn.commands.extend(())",
    ),
    _core(
        "story",
        "nobody decides, and nothing is delivered",
        "return Verb.ABORT if turn.result() is None else Verb(turn.task.terms.desk_default)",
        "return Verb(turn.task.terms.desk_default)",
    ),
    _core(
        "publish",
        "a step goes out before its needs are there",
        "if all(need.phase is StepPhase.DONE or need.phase is StepPhase.DROPPED for need in needs):",  # noqa: E501
        "if all(need.phase is not StepPhase.BROKEN for need in needs):",
    ),
    _core(
        "publish",
        "a step shares the hop of what it needs",
        "hop = max([step.next_hop, 1, *(need.hop + 1 for need in needs)])",
        "hop = max([step.next_hop, 1, *(need.hop for need in needs)])",
    ),
    _core(
        "publish",
        "results do not travel to the steps that need them",
        "f\"{compact(need.plan.id)}:{need.kept.result if need.kept else 'null'}\" for need in needs",  # noqa: E501
        'f"{compact(need.plan.id)}:null" for need in needs',
    ),
    _core(
        "replan",
        "the same agent is asked again",
        "tried=(*step.tried, agent),",
        "tried=step.tried,",
    ),
    _core(
        "replan",
        "another agent costs no hop",
        "            next_hop=step.hop + 1,",
        "            next_hop=step.hop,",
    ),
    _core(
        "replan",
        "the same plan is put in force again",
        "if plan_fingerprint(begin_plan(plans[number])) not in turn.task.plan_fingerprints:",
        "if plans[number]:",
    ),
    _core(
        "replan",
        "what is done is paid for again under the next plan",
        "stays = {step.id for step in plan if done.get(step.id) == step}",
        "stays = {step.id for step in plan if done.get(step.id) == step.id}",
    ),
    _core(
        "turn",
        "claims of settled subtasks are left behind",
        "self.commands.append(Settle(opened.subtask, agent, served, booked))",
        "self.commands.extend(())",
    ),
    _core(
        "turn",
        "a letter has no due time",
        "return task.letter.due_ms",
        "return None",
    ),
    _core(
        "state",
        "what changed in a step is not written",
        "changed = [step for old, step in pairs if step is not old]",
        "changed = [step for old, step in pairs if step is old]",
    ),
    _ledger(
        "what is kept back for the ending is given away",
        "return self.ceiling.less(taken if for_ending else taken + self.ending)",
        "return self.ceiling.less(taken)",
    ),
    _ledger(
        "what is reserved counts as free",
        "taken = self.spent + self.reserved",
        "taken = self.spent",
    ),
    _ledger(
        "a settlement gives back only what was used",
        "self.reserved - allowance.as_amounts(),",
        "self.reserved - charged.clamped(allowance),",
    ),
    _ledger(
        "what was spent is forgotten",
        "self.spent + charged.clamped(allowance),",
        "self.spent,",
    ),
    _ledger(
        "a retry's new budget is not added",
        "None if ceiling.calls is None else ceiling.calls + more.calls,",
        "None if ceiling.calls is None else ceiling.calls - more.calls,",
    ),
)

PATTERNS: Final = (
    _core(
        "planner",
        "a planner's plan is put in force once more",
        "if _fingerprint(whole) in turn.task.plan_fingerprints:",
        "if not whole:",
    ),
    _core(
        "planner",
        "a manager's plan is put in force once more",
        "if _fingerprint(ask.steps) in turn.task.plan_fingerprints:",
        "if not ask.steps:",
    ),
    _core(
        "planner",
        "a manager plans anew as often as it likes",
        "if turn.task.replans >= turn.task.terms.replans_max:",
        "if turn.task.replans < 0:",
    ),
    _core(
        "planner",
        "a round costs no hop",
        "turn.add_steps(replan.fresh(each, next_hop=step.hop + 1) for each in steps)",
        "turn.add_steps(replan.fresh(each, next_hop=step.hop) for each in steps)",
    ),
    _core(
        "planner",
        "rounds are not counted",
        'turn.change(rounds=task.rounds + 1, advice="")',
        'turn.change(rounds=max(task.rounds, 1), advice="")',
    ),
    _core(
        "gate",
        "a judge that gives no verdict has agreed",
        "if not each.given:",
        "if not each:",
    ),
    _core(
        "gate",
        "an objection counts for nothing",
        "sure = min([result.confidence, *(v.confidence if v.ok else 1 - v.confidence for v in verdicts)])",  # noqa: E501
        "sure = result.confidence",
    ),
    _core(
        "owner",
        "a late owner agent is waited for",
        "if turn.now_ms >= ending.due_ms:",
        "if turn.now_ms >= ending.due_ms + 3_600_000:",
    ),
    _core(
        "owner",
        "an owner agent that makes no sense has said yes",
        'word, why = Word.ESCALATE, f"{step.agent} had no last word: {said}"',
        'word, why = Word.COMPLETE, f"{step.agent} had no last word: {said}"',
    ),
    _core(
        "desk",
        "what a person has answered is forgotten",
        "answers=(*step.answers, answer),",
        "answers=step.answers,",
    ),
    _core(
        "services",
        "after a cap the work goes on",
        "places = [p for p in turn.places(StepPhase.WAITING) if turn.steps[p].plan.role.judges]",
        "places = list(turn.places(StepPhase.WAITING))",
    ),
    _core(
        "task",
        "work spends what is held back for the ending",
        "return self in _ENDING",
        "return self in _ENDING or self in _MAKERS",
    ),
    _core(
        "loops",
        "stalls are not counted",
        "return task.stalls + 1",
        "return task.stalls",
    ),
    _core(
        "loops",
        "two agents may hand a step to and fro for ever",
        "return bool(full) and len(set(holders)) < terms.holders_min",
        "return False",
    ),
    _core(
        "loops",
        "the same answer is a new one each time",
        "return len(_by_name(_compared(turn, step))[name] | {str(step.hop)})",
        "return 1",
    ),
    _core(
        "finish",
        "a referee is asked, and not listened to",
        'return f"custom:{until.agent}" if verdict is not None and verdict.ok else None',
        'return f"custom:{until.agent}" if verdict is not None else None',
    ),
    _core(
        "finish",
        "one round is as good as many",
        "held = task.rounds >= until.at_least and at_rest(steps)",
        "held = task.rounds > 0 and at_rest(steps)",
    ),
    _core(
        "absorb",
        "a budget stop counts against the agent",
        "return Served.OK if envelope.fault is None else Served.NOTHING",
        "return Served.OK if envelope.fault is None else Served.FAULT",
    ),
    _core(
        "decide",
        "a task does not wait for its place",
        "return Ruling.PASS if turn.sight.admitted else Ruling.REST",
        "return Ruling.PASS",
    ),
    _core(
        "turn",
        "a task waits for room, and not in the room",
        "self.commands += [Wait(agent) for agent in after if agent not in before]",
        "self.commands += [Wait(agent) for agent in after if agent in before]",
    ),
    _store(
        "bulkheads",
        "a breaker that is open lets one probe after the other out",
        "breaker.probe = subtask",
        'breaker.probe = ""',
    ),
    _store(
        "bulkheads",
        "a tenant has as many places as it likes",
        "return self.at_work[tenant] < self._places_of(tenant)",
        "return tenant in self.at_work or True",
    ),
    _store(
        "commit",
        "two orchestrators give away the same last place at an agent",
        "if cap is not None and self.bulkheads.in_flight[agent] - freed[agent] + sent > cap:",
        "if cap is not None and sent > cap:",
    ),
    _store(
        "part",
        "who decided before a place came free sleeps through it",
        'if "held_until" in self.records[task_id]:',
        "if not self.records[task_id]:",
    ),
)

STORE: Final = (
    _store(
        "commit",
        "two orchestrators decide the same task",
        "return base == (c.version, base[1] if c.base is None else c.base)",
        "return base >= (c.version, '')",
    ),
    _store(
        "commit",
        "mail that came in between is thrown away",
        "        del mail[: c.mail_read]",
        "        mail.clear()",
    ),
    _store(
        "commit",
        "mail that came in between waits for the alarm",
        "            self.due[c.task_id] = self.clock()",
        "            self.due[c.task_id] = c.alarm_ms or 0",
    ),
    _store(
        "commit",
        "a commit whose reply was lost is a conflict",
        'if record is not None and record.get("op") == c.op.encode():',
        'if record is not None and record.get("op") == b"":',
    ),
    _store(
        "turns",
        "a claimed task has no alarm any more",
        "self.due[task_id] = now_ms + limits.WAKE_LEASE_MS",
        "self.due[task_id] = now_ms + self.due.pop(task_id)",
    ),
    _store(
        "part",
        "a report wakes nobody",
        "self.due[task_id] = min(self.due.get(task_id, now_ms), now_ms)",
        "self.due.setdefault(task_id, now_ms)",
    ),
    _store(
        "claims",
        "a copied message is run as well",
        "if claim.state is not ClaimState.ISSUED:",
        "if claim.state is ClaimState.REPORTED:",
    ),
    _store(
        "claims",
        "a fetch whose reply was lost takes other messages",
        "if kept is not None:",
        "if kept is self:",
    ),
    _store(
        "tasks",
        "a letter posted twice is delivered twice",
        'if f" {op} ".encode() in posted:',
        "if op in posted.decode().splitlines():",
    ),
    _store(
        "intake",
        "an idempotency key is not looked up",
        "if holder != s.task_id:",
        "if holder is None:",
    ),
    _store(
        "commit",
        "a task that is over keeps its mail",
        "        self.mail.pop(c.task_id, None)",
        "        self.mail.get(c.task_id, None)",
    ),
    _store(
        "turns",
        "a claim that must be taken away is only looked at",
        "if revoke and claim.state in {ClaimState.ISSUED, ClaimState.CLAIMED}:",
        "if revoke and claim.state in {ClaimState.ISSUED}:",
    ),
)

METER: Final = (
    _store(
        "claim",
        "a call is made that could overrun the allowance",
        "return after.within(self.allowance) and after.within(_UNBOUNDED)",
        "return self.spent.within(self.allowance) and after.within(_UNBOUNDED)",
    ),
    _store(
        "claim",
        "a settled call costs nothing",
        "self.spent = self.spent - worst + real",
        "self.spent = self.spent - worst",
    ),
    _store(
        "commit",
        "what a claim that is gone had spent is in no day's books",
        "spent = (each.booked, {}) if claim is None else (claim.charged, claim.models)",
        "spent = (type(each.booked)(), {}) if claim is None else (claim.charged, claim.models)",
    ),
    _store(
        "spend",
        "a call is booked by its model and once more by none",
        "left -= shares[model]",
        "left -= Amounts()",
    ),
    _store(
        "spend",
        "what names no model is in no day's books",
        "if not shares or left != Amounts():",
        "if not shares:",
    ),
    _store(
        "commit",
        "a task's end is told as another beginning",
        'self.told_news.tell("task.ended", ENDED, about)',
        'self.told_news.tell("task.accepted", ENDED, about)',
    ),
    _store(
        "letters",
        "a letter that is looked at again is told as a new one",
        'self.told_news.tell("letter.filed" if is_new else "letter.refiled", FILED, told)',
        'self.told_news.tell("letter.filed", FILED, told)',
    ),
    _store(
        "claim",
        "a zombie may charge",
        "return self.state is ClaimState.CLAIMED and self.token == token",
        "return self.token == token",
    ),
    _store(
        "claims",
        "time does not matter to a charge",
        "if self._store.clock() > claim.until_ms:",
        "if self._store.clock() > claim.until_ms + 3_600_000:",
    ),
    _store(
        "claims",
        "calls in flight are not remembered",
        "claim.flying[op] = worst",
        "claim.flying.pop(op, None)",
    ),
    _store(
        "claims",
        "a charge whose reply was lost is booked twice",
        "if op in claim.flying:",
        "if op in claim.handed:",
    ),
    _store(
        "claims",
        "a call in flight is free",
        "claim.spent += worst",
        "claim.spent += Amounts()",
    ),
    _store(
        "claims",
        "a report does not end the claim",
        "claim.state = ClaimState.REPORTED",
        "claim.state = ClaimState.CLAIMED",
    ),
)

BUGS: Final = CORE + PATTERNS + STORE + METER
