"""One decision in the making.

A `Turn` lives inside one call of `decide` and nowhere else. It is the only mutable thing in the
core: rules change it through a few verbs, and `decision()` turns it into values again. Every verb
keeps the books: a step that opens reserves its allowance, a step that ends settles it.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable
from typing import Any

from msgspec.structs import replace

from envelopes import Amounts, Limits, limits
from orchestrator.core.commands import (
    Command,
    Decision,
    Granted,
    Leave,
    Look,
    Note,
    Publish,
    Served,
    Settle,
    Wait,
)
from orchestrator.core.facts import Claim, ClaimState, Sight
from orchestrator.core.finish import next_flip_ms
from orchestrator.core.result import composed
from orchestrator.core.task import Composed, Phase, Plan, StepPhase, StepState, Task
from orchestrator.core.transitions import STEP_MOVES, TASK_MOVES

_LOOK_AGAIN_MIN_MS = 200  # a look costs a round trip; nothing is decided faster by looking more


class Turn:
    """A task being decided."""

    __slots__ = (
        *("_before", "_by_phase", "_changed", "_places"),
        *("alarms", "commands", "full", "notes", "now_ms", "sight", "taken", "task"),
    )

    def __init__(self, task: Task, sight: Sight, now_ms: int) -> None:
        self.task = task
        self._before = task
        self.sight = sight
        self.now_ms = now_ms
        self.commands: list[Command] = []
        self.notes: list[Note] = []
        self.alarms: list[int] = []
        """Moments at which something is to be tried again."""
        self.full: set[str] = set()
        """Agents that have no room for a step that is ready."""
        self.taken: Counter[str] = Counter()
        self._changed: list[StepState] | None = None
        self._by_phase: defaultdict[StepPhase, list[int]] | None = None
        self._places: dict[str, int] | None = None

    # --- looking ---------------------------------------------------------------------------------

    @property
    def steps(self) -> list[StepState] | tuple[StepState, ...]:
        """Return the steps as they are now, in plan order."""
        return self.task.steps if self._changed is None else self._changed

    def places(self, phase: StepPhase) -> list[int]:
        """Return where the steps in this phase stand, in plan order."""
        if self._by_phase is None:
            self._by_phase = defaultdict(list)
            for place, step in enumerate(self.steps):
                self._by_phase[step.phase].append(place)
        return self._by_phase[phase]

    def step(self, name: str) -> StepState:
        """Return the step of that name."""
        if self._places is None:
            self._places = {step.plan.id: place for place, step in enumerate(self.steps)}
        return self.steps[self._places[name]]

    def open_subtasks(self, *, but_judges: bool = False) -> tuple[int, ...]:
        """Return the numbers of all subtasks that are not settled."""
        steps = (self.steps[place] for place in self.places(StepPhase.OPEN))
        wanted = (s for s in steps if not (but_judges and s.plan.role.judges))
        return tuple(s.open.subtask for s in wanted if s.open)

    def take_room(self, agent: str) -> bool:
        """Take one of the places that this agent has left; say whether there was one."""
        if not self.has_room(agent):
            self.full.add(agent)
            return False
        if agent in self.sight.agents:  # nobody counts what strangers have in flight
            self.taken[agent] += 1
        return True

    def has_room(self, agent: str) -> bool:
        """Say whether one more message could be sent to this agent."""
        known = self.sight.agents.get(agent)
        return known is None or known.room is None or self.taken[agent] < known.room

    def recount_rooms(self) -> None:
        """Count the places that are really taken in this turn: by what is published."""
        if self.taken or self.full:
            sent = (each.agent for each in self.commands if isinstance(each, Publish))
            self.taken = Counter(sent)
            self.full.clear()

    def look(self, revoke: tuple[int, ...] = ()) -> Look:
        """Ask to see the claims, and to take some away.

        The next turn begins where this one began, so it must be shown all that was open then; a
        claim that this turn has settled is settled nowhere yet.
        """
        opened = (step.open for step in self._before.steps)
        return Look(tuple(each.subtask for each in opened if each is not None), revoke)

    def result(self) -> Composed | None:
        """Return the best there is to deliver: of this plan, or of one that gave way."""
        there = (composed(self.task, self.steps), self.task.earlier)
        fit = [each for each in there if each and len(each.result) <= limits.RESULT_CHARS_MAX]
        return max(fit, key=lambda each: (each.whole, each.confidence), default=None)

    # --- changing --------------------------------------------------------------------------------

    def change(self, **fields: Any) -> None:
        """Change fields of the task's head."""
        phase = fields.get("phase", self.task.phase)
        assert phase is self.task.phase or (self.task.phase, phase) in TASK_MOVES
        self.task = replace(self.task, **fields)

    def set_step(self, place: int, **fields: Any) -> StepState:
        """Change fields of one step; a move that is not in the table is our bug."""
        if self._changed is None:
            self._changed = list(self.task.steps)
        before = self._changed[place]
        after = replace(before, **fields)
        if after.phase is not before.phase:
            assert (before.phase, after.phase) in STEP_MOVES, (before.phase, after.phase)
            self._by_phase = None
        self._changed[place] = after
        return after

    def add_steps(self, steps: Iterable[StepState]) -> None:
        """Put more steps behind those there are."""
        self._lay_out([*self.steps, *steps])

    def keep_steps(self, steps: Iterable[StepState]) -> None:
        """Let these be the steps from now on. None that is open may be forgotten."""
        opened = set(self.open_subtasks())
        self._lay_out(list(steps))
        assert opened == set(self.open_subtasks())

    def _lay_out(self, steps: list[StepState]) -> None:
        self._changed = steps
        self._by_phase = self._places = None
        self.change(layout=self.task.layout + 1)

    def settle(self, place: int, charged: Amounts, served: Served, **fields: Any) -> StepState:
        """End a step's open subtask: book what it charged, give the rest back, forget its claim."""
        opened, agent = self.steps[place].open, self.steps[place].agent
        assert opened is not None
        self.change(ledger=self.task.ledger.settle(opened.allowance, charged))
        booked = charged.clamped(opened.allowance)
        self.commands.append(Settle(opened.subtask, agent, served, booked))
        return self.set_step(place, open=None, **fields)

    def note(
        self,
        why: str,
        text: str,
        step: StepState | None = None,
        *,
        subtask: int | None = None,
        status: str | None = None,
        confidence: float | None = None,
        charged: Amounts | None = None,
        allowance: Limits | None = None,
        fault: str | None = None,
        plan: int | None = None,
        granted: Granted | None = None,
        steps: Plan | None = None,
    ) -> None:
        """Write a line of the journal."""
        ledger = self.task.ledger
        if step is not None and subtask is None and step.open is not None:
            subtask = step.open.subtask
        self.notes.append(
            Note(
                at_ms=self.now_ms,
                why=why,
                text=text,
                spent=ledger.spent,
                reserved=ledger.reserved,
                step=None if step is None else step.plan.id,
                subtask=subtask,
                hop=None if step is None else step.hop,
                agent=None if step is None else step.agent,
                status=status,
                confidence=confidence,
                charged=charged,
                allowance=allowance,
                fault=fault,
                plan=plan,
                granted=granted,
                steps=steps,
            )
        )

    # --- ending ----------------------------------------------------------------------------------

    def decision(self) -> Decision:
        """Turn what has become of the turn into values."""
        opened = [s for p in self.places(StepPhase.OPEN) if (s := self.steps[p]).open]
        look_ms = self._look_ms(opened)
        self._wait_in_rooms()
        if self._changed is not None or look_ms != self.task.look_ms:
            self.task = replace(self.task, steps=tuple(self.steps), look_ms=look_ms)
        return Decision(self.task, tuple(self.commands), tuple(self.notes), self._alarm_ms())

    def _wait_in_rooms(self) -> None:
        """Wait where there is no room for a step that is ready, and nowhere else."""
        before = self.task.rooms
        after = tuple(sorted(self.full)) if self.task.phase is Phase.WORKING else ()
        if after != before:
            self.change(rooms=after)
            self.commands += [Wait(agent) for agent in after if agent not in before]
            self.commands += [Leave(agent) for agent in before if agent not in after]

    def _alarm_ms(self) -> int | None:
        task = self.task
        if task.phase is Phase.DONE:
            return None
        if task.phase is Phase.ON_DESK:
            assert task.letter is not None
            return task.letter.due_ms
        if task.ending is not None:
            times = [task.ending.due_ms, task.look_ms]
        else:
            flip_ms = next_flip_ms(task, self.now_ms)
            times = [task.deadline_ms, task.look_ms, flip_ms, *self.alarms]
        return min(time for time in times if time)

    def _look_ms(self, opened: list[StepState]) -> int:
        """Say when claims must be looked at: the first moment one can have run out."""
        if not opened:
            return 0
        claims = self.sight.claims
        if claims is None:
            fresh = (s for s in opened if s.open and s.open.published_ms == self.now_ms)
            soonest = min((_patience_ms(s) for s in fresh), default=limits.LEASE_MS)
            fresh_ms = self.now_ms + soonest
            return min(self.task.look_ms, fresh_ms) if self.task.look_ms else fresh_ms
        soonest = min(self._runs_out_ms(s, claims) for s in opened)
        return max(soonest, self.now_ms + _LOOK_AGAIN_MIN_MS)

    def _runs_out_ms(self, step: StepState, claims: Any) -> int:
        assert step.open is not None
        claim: Claim | None = claims.get(step.open.subtask)
        if claim is None or claim.state is not ClaimState.CLAIMED:
            return self.now_ms + _patience_ms(step)
        return min(claim.beat_ms + limits.LEASE_MS, claim.since_ms + step.plan.timeout_ms)


def _patience_ms(step: StepState) -> int:
    """Bound the wait before the next look: a claim can be made, and run out, in between."""
    return max(_LOOK_AGAIN_MIN_MS, min(limits.LEASE_MS, step.plan.timeout_ms))
