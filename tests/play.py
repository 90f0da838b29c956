"""One task, a hand on its clock, and no shell: the core as the shell would drive it.

`Play` keeps what lives outside the core (the claims, the mail that is on its way) in plain dicts,
and commits at once. Everything that the core decided stays visible in `decisions`.
"""

import json
from collections.abc import Mapping
from typing import Any

from msgspec.structs import replace

from envelopes import Amounts, Envelope, TaskRequest, limits
from envelopes.decision import Decision as Said
from envelopes.strict import parse
from orchestrator.core import state
from orchestrator.core.commands import Command, Decision, Look, Note, Publish, Settle
from orchestrator.core.decide import decide
from orchestrator.core.facts import Agent, Cancelled, Claim, ClaimState, Mail, Report, Sight
from orchestrator.core.task import Decided, StepState, Task
from orchestrator.letters import _decided

LOOKS_MAX = 10
PLAN_DONE = {"kind": "plan_done"}
ENOUGH = {"tokens": 10_000}


def request(**fields: Any) -> TaskRequest:
    """Make a request: one step for the agent `solo`, unless the fields say otherwise."""
    usual = {"goal": "find out", "budget": ENOUGH, "timeout": 600, "until": PLAN_DONE}
    begins = {"agent", "plan", "planner", "manager"}
    who = {} if begins & fields.keys() else {"agent": "solo"}
    text = json.dumps(usual | who | fields)
    return parse(TaskRequest, text, bytes_max=limits.REQUEST_BYTES_MAX, what="request")


def step(name: str, *needs: str, agent: str = "", **fields: Any) -> dict[str, Any]:
    """Write a step; its agent is called as the step unless said otherwise."""
    return {"id": name, "agent": agent or name, "needs": list(needs), **fields}


def good(result: Any = "done", confidence: float = 0.9) -> Envelope:
    return Envelope.success(result, confidence)


def part(result: Any = "half", confidence: float = 0.9, reason: str = "no more time") -> Envelope:
    return Envelope.partial(result, confidence, reason)


def bad(reason: str = "no luck") -> Envelope:
    return Envelope.failed(reason)


def ask(to: str, reason: str = "not mine", **handoff: Any) -> Envelope:
    return Envelope.model_validate(
        {"status": "partial", "reason": reason, "ask": {"kind": "handoff", "to": to, **handoff}},
        strict=False,
    )


def beg(kind: str, reason: str = "next", **fields: Any) -> Envelope:
    """Write an envelope that asks for something else than a handoff; a result may go with it."""
    about = {name: fields.pop(name) for name in ("result", "confidence") if name in fields}
    said = {"status": "partial", "reason": reason, "ask": {"kind": kind, **fields}, **about}
    return Envelope.model_validate_json(json.dumps(said))


class Play:
    """A task between its decisions."""

    def __init__(self, asked: TaskRequest | None = None, **fields: Any) -> None:
        self.asked = asked or request(**fields)
        self.now_ms = 0
        self.task: Task = state.begin("t", self.asked, 0)
        self.claims: dict[int, Claim] = {}
        self.published: dict[int, Publish] = {}
        self.agents: dict[str, Agent] = {}
        self.decisions: list[Decision] = []
        self.looks: list[Look] = []
        self.admitted = True

    # --- what happens outside --------------------------------------------------------------------

    def knows(self, **handoffs: tuple[str, ...]) -> "Play":
        """Register agents, each with whom it may hand over to."""
        self.agents |= {name: Agent(others) for name, others in handoffs.items()}
        return self

    def skilled(self, **skills: tuple[str, ...]) -> "Play":
        """Register agents, each with what it can do."""
        self.agents |= {name: Agent(skills=can) for name, can in skills.items()}
        return self

    def sees(self, name: str, **fields: Any) -> "Play":
        """See an agent otherwise: no room, its breaker open, busier."""
        self.agents[name] = replace(self.agents.get(name, Agent()), **fields)
        return self

    def fetch(self, *subtasks: int) -> None:
        for subtask in subtasks:
            now = {"since_ms": self.now_ms or 1, "beat_ms": self.now_ms}
            self._claim(subtask, state=ClaimState.CLAIMED, queued=False, **now)

    def beat(self, subtask: int) -> None:
        self._claim(subtask, beat_ms=self.now_ms)

    def charge(self, subtask: int, tokens: int) -> None:
        charged = self.claims[subtask].charged + Amounts(tokens=tokens)
        self._claim(subtask, charged=charged)

    def lose_message(self, subtask: int) -> None:
        self._claim(subtask, queued=False)

    def lose_record(self, subtask: int) -> None:
        self._claim(subtask, state=ClaimState.ABSENT)

    def _claim(self, subtask: int, **fields: Any) -> None:
        self.claims[subtask] = replace(self.claims[subtask], **fields)

    # --- waking it -------------------------------------------------------------------------------

    def wake(self, *mail: Mail, after_ms: int = 0) -> Decision:
        """Let time pass, hand the mail over, do what the core asks for, and commit."""
        self.now_ms += after_ms
        claims: Mapping[int, Claim] | None = None
        for _ in range(LOOKS_MAX):
            sight = Sight(agents=self.agents, claims=claims, admitted=self.admitted)
            decided = decide(self.task, mail, sight, self.now_ms)
            if isinstance(decided, Decision):
                return self._commit(decided)
            self.looks.append(decided)
            claims = self._look(decided)
        raise AssertionError("it asks to look, and looks, and asks again")

    def answer(self, subtask: int, envelope: Envelope, tokens: int = 0) -> Decision:
        """Wake it with a worker's envelope."""
        return self.wake(self.report(subtask, envelope, tokens))

    def report(self, subtask: int, envelope: Envelope, tokens: int = 0) -> Report:
        """Write a worker's envelope, and let its claim say so."""
        if subtask in self.claims:
            self._claim(subtask, state=ClaimState.REPORTED)
        return Report(subtask, Amounts(tokens=tokens), envelope)

    def cancel(self, by: str = "ann", why: str = "") -> Decision:
        return self.wake(Cancelled(by, why))

    def decide(self, verb: str, **fields: Any) -> Decision:
        return self.wake(self.decision(verb, **fields))

    def decision(self, verb: str, **fields: Any) -> Decided:
        """Write a person's decision on the open letter, or on another one."""
        letter = fields.pop("letter", self.task.letter.id if self.task.letter else "t.1")
        said = {"letter": letter, "verb": verb, "by": "ann", **fields}
        return _decided(parse(Said, json.dumps(said), bytes_max=10**6, what="decision"))

    def _look(self, look: Look) -> dict[int, Claim]:
        for subtask in look.revoke:
            claim = self.claims[subtask]
            if claim.state in {ClaimState.ISSUED, ClaimState.CLAIMED}:
                self._claim(subtask, state=ClaimState.REVOKED)
        return {subtask: self.claims[subtask] for subtask in look.subtasks}

    def _commit(self, decision: Decision) -> Decision:
        self.task = decision.task
        self.decisions.append(decision)
        for each in decision.commands:
            if isinstance(each, Publish):
                self.published[each.subtask] = each
                self.claims[each.subtask] = Claim(ClaimState.ISSUED)
            if isinstance(each, Settle):
                self.claims.pop(each.subtask, None)
        return decision

    # --- looking at it ---------------------------------------------------------------------------

    @property
    def open(self) -> list[int]:
        return [step.open.subtask for step in self.task.steps if step.open]

    @property
    def last(self) -> Decision:
        return self.decisions[-1]

    @property
    def outcome(self) -> str | None:
        return self.task.outcome

    def step(self, name: str) -> StepState:
        return next(step for step in self.task.steps if step.plan.id == name)

    def result(self) -> Any:
        return None if self.task.result is None else json.loads(self.task.result)


def whys(decision: Decision) -> list[str]:
    """Return the names of the rules that decided, in order."""
    return [note.why for note in decision.notes]


def note(decision: Decision, why: str) -> Note:
    """Return the one line with that name."""
    [found] = [note for note in decision.notes if note.why == why]
    return found


def sent(decision: Decision) -> list[Publish]:
    return [each for each in decision.commands if isinstance(each, Publish)]


def commands(decision: Decision, kind: type[Command]) -> list[Any]:
    return [each for each in decision.commands if isinstance(each, kind)]
