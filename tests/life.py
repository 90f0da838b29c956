"""One drawn task and what happens to it, with books that are kept from the outside.

A life is mail that is good, bad, late, repeated or made up; workers that fetch, charge, beat and
fall silent; agents that have no room, whose breakers open, that come and go; a tenant's places that
are full; a clock that jumps. Every decision is held against must_hold.py as it is committed.
"""

import must_hold
from drawn import (
    ANSWERS,
    BY_PART,
    BY_WORKERS,
    DECISIONS,
    EVERYBODY,
    PAUSES,
    RETRIES,
    SIGHTS,
    SUMS,
    YES,
    rarely,
)
from hypothesis import strategies as st
from play import Play

from envelopes import Amounts, Envelope, Limits, TaskRequest
from orchestrator.core.commands import Decision, Leave, Publish, Settle, Wait
from orchestrator.core.facts import Cancelled, ClaimState, Mail, Report, Sight
from orchestrator.core.task import Phase


class Life(Play):
    """A task, and books of our own that are kept from the outside."""

    def __init__(self, asked: TaskRequest) -> None:
        super().__init__(asked)
        self.agents |= EVERYBODY
        self.allowed: dict[int, Limits] = {}
        self.settled: list[int] = []
        self.said: dict[int, Envelope] = {}
        """What was reported first of each subtask, while nobody had settled it."""
        self.rooms: set[str] = set()
        self.sent_mail: list[Mail] = []

    def live(self, data: st.DataObject) -> Decision:
        """Let one thing happen, and wake it; who has its place keeps it."""
        self.admitted = self.admitted or self.task.phase is not Phase.WORKING or data.draw(YES)
        return self._calm(data) if data.draw(st.integers(0, 2)) else self._storm(data)

    def _calm(self, data: st.DataObject) -> Decision:
        """Let everybody who is at work answer, or whoever has the letter decide."""
        if self.task.phase is Phase.ON_DESK:
            said = data.draw(st.one_of(ANSWERS, RETRIES, RETRIES))
            return self.wake(self.decision(**said))
        workers = self.open[: data.draw(st.integers(1, 4))]
        mail = [data.draw(self._reports(subtask)) for subtask in workers]
        self.sent_mail.extend(mail)
        return self.wake(*mail, after_ms=1)

    def _storm(self, data: st.DataObject) -> Decision:
        """Let anything happen to anybody."""
        for subtask in data.draw(st.lists(st.sampled_from(self.open))) if self.open else ():
            self._somebody_works(data, subtask)
        self._somebody_looks_otherwise(data)
        mail = data.draw(st.lists(self.letters(), max_size=3))
        self.sent_mail.extend(mail)
        return self.wake(*mail, after_ms=data.draw(PAUSES))

    def _somebody_works(self, data: st.DataObject, subtask: int) -> None:
        claim = self.claims[subtask]
        match data.draw(st.sampled_from(["fetch", "beat", "charge", "gone", "lost"])):
            case "fetch" if claim.state is ClaimState.ISSUED:
                self.fetch(subtask)
            case "beat" if claim.state is ClaimState.CLAIMED:
                self.beat(subtask)
            case "charge" if claim.state is ClaimState.CLAIMED:
                charged = (claim.charged + data.draw(SUMS)).clamped(self.allowed[subtask])
                self._claim(subtask, charged=charged)
            case "gone":
                self.lose_message(subtask)
            case "lost" if data.draw(st.integers(0, 3)) == 0:
                self.lose_record(subtask)

    def _somebody_looks_otherwise(self, data: st.DataObject) -> None:
        if data.draw(st.integers(0, 3)) == 0:
            self.sees(data.draw(st.sampled_from(list(EVERYBODY))), **data.draw(SIGHTS))

    def sight(self) -> Sight:
        """Return what a shell sees that has not looked at claims."""
        return Sight(agents=self.agents, admitted=self.admitted)

    def be_well(self) -> None:
        """Let everybody have room, and the task its place."""
        self.agents |= EVERYBODY
        self.admitted = True

    # --- mail ------------------------------------------------------------------------------------

    def letters(self) -> st.SearchStrategy[Mail]:
        """Draw a letter: of somebody at work or long gone, of a person, or one that came before."""
        kinds: list[st.SearchStrategy[Mail]] = [
            st.sampled_from([*self.open, *range(1, 4)]).flatmap(self._reports),
            st.builds(lambda said: self.decision(**said), DECISIONS),
        ]
        if self.sent_mail:
            kinds.append(st.sampled_from(self.sent_mail))
        return rarely(rarely(st.just(Cancelled("ann", "")), st.one_of(kinds)), st.one_of(kinds))

    def _reports(self, subtask: int) -> st.SearchStrategy[Mail]:
        published = self.published.get(subtask)
        part = "work" if published is None else must_hold.part_of(published.step)
        return st.builds(self._report, st.just(subtask), SUMS, BY_PART.get(part, BY_WORKERS))

    def _report(self, subtask: int, charged: Amounts, envelope: Envelope) -> Mail:
        if subtask in self.claims and self.claims[subtask].state is not ClaimState.ABSENT:
            self._claim(subtask, state=ClaimState.REPORTED)
        return Report(subtask, charged, envelope)

    # --- books -----------------------------------------------------------------------------------

    def wake(self, *mail: Mail, after_ms: int = 0) -> Decision:
        """Remember what was reported before the core sees it."""
        for letter in mail:
            if isinstance(letter, Report) and letter.subtask in self.open:
                self.said.setdefault(letter.subtask, letter.envelope)
        return super().wake(*mail, after_ms=after_ms)

    def _commit(self, decision: Decision) -> Decision:
        before = self.task
        super()._commit(decision)
        self._keep_books(decision)
        must_hold.check(self, before, decision)
        return decision

    def _keep_books(self, decision: Decision) -> None:
        for each in decision.commands:
            match each:
                case Publish():
                    assert each.subtask not in self.allowed, "a subtask id is used once"
                    self.allowed[each.subtask] = each.allowance
                case Settle():
                    assert each.subtask in self.allowed
                    assert each.subtask not in self.settled, "a subtask is settled once"
                    self.settled.append(each.subtask)
                case Wait():
                    assert each.agent not in self.rooms, "nobody waits twice in one room"
                    self.rooms.add(each.agent)
                case Leave():
                    self.rooms.remove(each.agent)
