"""How a task ends, and what a cap leads to.

The owner of every task is the orchestrator. At a cap its policy is, from where the caller lets it
begin: deliver what is kept if that passes the gate, else ask a person, else abort. Before any
ending the claims of open subtasks are taken away, so that the books are exact and nobody can spend
on a task that has ended.
"""

from msgspec.structs import replace

from envelopes import Amounts, AtCap, limits
from envelopes.decision import Verb
from envelopes.letter import LetterKind
from orchestrator.core import again, gate, planner, replan, services, story
from orchestrator.core.commands import CloseLetter, Conclude, Escalate, Granted, Judged, Look
from orchestrator.core.finish import achieved
from orchestrator.core.result import last_steps
from orchestrator.core.task import (
    Answered,
    Asked,
    Composed,
    Decided,
    Ending,
    Letter,
    Outcome,
    Phase,
    Role,
    StepPhase,
    StepState,
    Word,
)
from orchestrator.core.turn import Turn

NOBODY = "nobody"
"""Who decides when the due time has passed."""


def revoke_all(turn: Turn) -> Look | None:
    """Ask for the claims of all open subtasks to be taken away."""
    opened = turn.open_subtasks()
    return turn.look(revoke=opened) if opened else None


def revoke_work(turn: Turn) -> Look | None:
    """Ask for the claims of all open subtasks to be taken away, but for those of judges."""
    opened = turn.open_subtasks(but_judges=True)
    return turn.look(revoke=opened) if opened else None


def finish(turn: Turn, crossed: str, result: Composed) -> Look | None:
    """End a task that crossed its finish line with a result that passed the gate."""
    done = result.whole or achieved(turn.task, turn.steps, turn.now_ms)
    outcome = Outcome.COMPLETED if done else Outcome.PARTIAL
    return conclude(turn, outcome, crossed, result)


# --- a cap was hit -------------------------------------------------------------------------------


def judge(turn: Turn, why: str, text: str) -> Look | None:
    """Decide that a task cannot go on; `last_words` decides what becomes of it."""
    if look := revoke_all(turn):
        return look
    services.dismiss(turn)
    turn.note(why, text)
    turn.change(ending=Ending(why, text, turn.now_ms + limits.LAST_WORDS_MS))
    return None


def last_words(turn: Turn, ending: Ending) -> Look | bool:
    """Decide what becomes of a task that cannot go on; say whether that is decided now."""
    if turn.now_ms >= ending.due_ms:
        return revoke_all(turn) or escalate(turn, ending, "nobody had the last word in time")
    if turn.task.terms.owner is None or not turn.sight.admitted:  # it never began
        return _by_policy(turn, ending, turn.task.terms.at_cap)
    match ending.word:
        case None:
            return _ask_owner(turn, ending)
        case Word.COMPLETE:
            return _by_policy(turn, ending, AtCap.DELIVER)
        case Word.ESCALATE:
            return _by_policy(turn, ending, AtCap.ESCALATE)
        case Word.ABORT:
            return _by_policy(turn, ending, AtCap.ABORT)


def _by_policy(turn: Turn, ending: Ending, at_cap: AtCap) -> Look | bool:
    if at_cap is AtCap.ABORT:
        return conclude(turn, Outcome.ABORTED, ending.why, turn.result()) or True
    if at_cap is AtCap.ESCALATE:
        return escalate(turn, ending)
    result = gate.passed(turn, turn.result())
    if result is None:
        return services.send_judges(turn)
    if isinstance(result, Composed):
        return conclude(turn, Outcome.PARTIAL, ending.why, result) or True
    turn.note("below_the_bar", result)
    return escalate(turn, ending, None if result in ending.text else f"not delivered: {result}")


def _ask_owner(turn: Turn, ending: Ending) -> bool:
    agent = turn.task.terms.owner
    assert agent is not None
    if not services.is_asked(turn, Role.OWNER):
        services.ask(turn, Role.OWNER, agent, story.page(turn, ending.why, ending.text))
    return services.send_judges(turn)


def take_word(turn: Turn, step: StepState) -> None:
    """Record the owner agent's word; whatever is none means that a person is asked."""
    ending, said = turn.task.ending, services.answer_of(step)
    assert ending is not None
    if isinstance(said, str):
        word, why = Word.ESCALATE, f"{step.agent} had no last word: {said}"
    elif said.get("decision") not in tuple(Word):
        word, why = Word.ESCALATE, f'{step.agent} must say {{"decision": {"|".join(Word)}}}'
    else:
        word, why = Word(said["decision"]), str(said.get("why") or "")[: limits.REASON_CHARS_MAX]
    turn.note("last_word", f"{word}: {why}".rstrip(": "), step)
    told = f"{ending.text}; {why}" if why else ending.text
    turn.change(ending=replace(ending, word=word, text=told))


def conclude(turn: Turn, outcome: Outcome, why: str, result: Composed | None) -> Look | None:
    """End a task. What is kept goes with every outcome; only an aborted one is no answer."""
    if look := revoke_all(turn):
        return look
    assert turn.task.ledger.reserved == Amounts()
    turn.change(
        phase=Phase.DONE,
        outcome=outcome,
        stop_reason=why,
        result=None if result is None else result.result,
        confidence=None if result is None else result.confidence,
        letter=None,
        decision=None,
        ending=None,
    )
    turn.commands.append(Conclude(outcome))
    turn.note("conclude", f"{outcome}: {why}", confidence=turn.task.confidence)
    return None


# --- the desk ----------------------------------------------------------------------------------


def escalate(turn: Turn, ending: Ending, more: str | None = None) -> bool:
    """File a dead letter and wait for a person: what was asked of agents is asked no more."""
    assert not turn.open_subtasks()
    services.dismiss(turn)
    text = f"{ending.text}; {more}" if more else ending.text
    poisoned = any(step.lost >= limits.LOST_MAX for step in turn.steps)
    kind = LetterKind.POISON if poisoned else LetterKind.ESCALATION
    _file(turn, kind, ending.why, text)
    return True


def ask_person(turn: Turn, step: StepState, asked: Asked) -> None:
    """Put an agent's question on the desk."""
    text = f"{step.agent} asks: {asked.text}"
    _file(turn, LetterKind.QUESTION, "question", text, question=asked)


def _file(turn: Turn, kind: LetterKind, why: str, text: str, question: Asked | None = None) -> None:
    task = turn.task
    number = task.letters + 1
    letter = Letter(
        id=f"{task.id}.{number}",
        why=why,
        filed_ms=turn.now_ms,
        due_ms=turn.now_ms + task.terms.desk_timeout_ms,
    )
    turn.change(phase=Phase.ON_DESK, letter=letter, letters=number, ending=None)
    turn.commands.append(_escalate(turn, letter, kind, text, question))
    turn.note("escalate", text)


def _escalate(
    turn: Turn, letter: Letter, kind: LetterKind, text: str, asked: Asked | None
) -> Escalate:
    step = story.about(turn)
    return Escalate(
        letter=letter.id,
        why=text,
        kind=kind,
        due_ms=letter.due_ms,
        story=story.page(turn, letter.why, text, asked),
        reason=letter.why,
        agent=step.agent if step else "",
        step=step.plan.id if step else "",
        hop=step.hop if step else turn.task.hop,
    )


def decided(turn: Turn) -> Look | None:
    """Do what a person said."""
    task, decision = turn.task, turn.task.decision
    assert decision is not None
    assert task.letter is not None
    why = f"decided: {decision.verb} by {decision.by}"
    _close(turn, decision.verb, decision.by, decision.why, decision)
    match decision.verb:
        case Verb.APPROVE:
            return _approve(turn, why)
        case Verb.AMEND:
            assert decision.result is not None
            amended = Composed(decision.result, 1.0, whole=True)
            return conclude(turn, Outcome.COMPLETED, why, amended)
        case Verb.ABORT:
            return conclude(turn, Outcome.ABORTED, why, turn.result())
        case Verb.ANSWER:
            _answer(turn)
            return None
        case Verb.RETRY | Verb.REASSIGN:
            _retry(turn)
            return None
        case Verb.REPLAY | Verb.DISCARD:
            raise AssertionError("said of a message, never of a task: see absorb.py")


def nobody_decided(turn: Turn) -> Look | None:
    """Apply the declared default: the due time has passed."""
    default = story.if_nobody_decides(turn)
    _close(turn, default, NOBODY, "the due time has passed")
    if default is Verb.APPROVE:
        return _approve(turn, "nobody_decided")
    return conclude(turn, Outcome.ABORTED, "nobody_decided", turn.result())


def close_letter(turn: Turn, why: str) -> None:
    """Take the letter of a task that ends without a person's word off the desk."""
    if turn.task.letter is not None:
        _close(turn, Verb.ABORT, NOBODY, why)


def _approve(turn: Turn, why: str) -> Look | None:
    result = turn.result()
    assert result is not None
    return conclude(turn, Outcome.COMPLETED if result.whole else Outcome.PARTIAL, why, result)


def _close(turn: Turn, verb: Verb, by: str, why: str, decision: Decided | None = None) -> None:
    letter = turn.task.letter
    assert letter is not None
    decided_as, said = (decision.decided_as, _said(decision)) if decision else ("", "")
    judged = () if by == NOBODY else _judged(turn, verb)
    turn.commands.append(CloseLetter(letter.id, verb, by, why, decided_as, judged, said))
    turn.note("decided", f"{verb} by {by}: {why}".rstrip(": "))


def _said(decision: Decided) -> str:
    """Write what came with a decision, for whoever reads the letter later."""
    more = decision.more
    amounts = {"tokens": more.tokens, "micro-dollars": more.usd_micros, "calls": more.calls}
    added = {**amounts, "hops": decision.hops, "ms": decision.time_ms}
    given = [decision.answer, decision.result, decision.agent and f"to {decision.agent}"]
    given += [f"{figure:,} more {name}" for name, figure in added.items() if figure]
    text = ", ".join(part for part in given if part)
    return text[: limits.REASON_CHARS_MAX]


def _judged(turn: Turn, verb: Verb) -> tuple[Judged, ...]:
    """Say what a person's decision says of the agents that made what was on the desk."""
    if verb not in {Verb.APPROVE, Verb.AMEND, Verb.ABORT} or turn.result() is None:
        return ()
    ends = last_steps([step for step in turn.steps if step.plan.role.makes_the_result])
    return tuple(
        Judged(step.kept.agent, step.kept.confidence, verb is Verb.APPROVE)
        for step in ends
        if step.kept is not None
    )


def question(turn: Turn) -> int | None:
    """Return where the step stands whose agent has asked a person, or None."""
    steps = turn.steps
    asking = (p for p in turn.places(StepPhase.ASKING) if services.asks_a_person(steps[p]))
    return next(asking, None)


def question_on_desk(turn: Turn) -> int | None:
    """Return whose question the open letter is; one that came to a cap asks for something else."""
    letter = turn.task.letter
    return question(turn) if letter is not None and letter.why == "question" else None


def _answer(turn: Turn) -> None:
    """Let the step that asked go on with the answer, under a new id."""
    place, decision = question_on_desk(turn), turn.task.decision
    assert place is not None
    assert decision is not None
    step = turn.steps[place]
    assert isinstance(step.ask, Asked)
    answer = Answered(step.ask.text, decision.answer or "")
    turn.set_step(
        place,
        phase=StepPhase.WAITING,
        ask=None,
        answers=(*step.answers, answer),
        next_hop=step.hop + 1,
    )
    turn.note("answered", f"{decision.by}: {answer.answer}", step)
    _back_from_the_desk(turn)


def _retry(turn: Turn) -> None:
    """Go on with what was granted. A person may repeat a plan; a loop's count starts anew."""
    task, decision = turn.task, turn.task.decision
    assert decision is not None
    _set_out_again(turn, decision)
    _grant(turn, decision)
    _back_from_the_desk(turn, decision.time_ms)
    if task.plan_fingerprints:
        turn.change(plan_fingerprints=())
        replan.remember(turn)
    granted = Granted(turn.task.ledger.ceiling, turn.task.hops_max, turn.task.deadline_ms)
    whom = f" with {decision.agent}" if decision.agent else ""
    turn.note("granted", f"{decision.by} lets the task go on{whom}", granted=granted)
    if not turn.steps and task.terms.planner is not None:
        planner.ask_planner(turn, "plan")  # the first one is no re-plan, however often it is asked


def _set_out_again(turn: Turn, decision: Decided) -> None:
    """Let what is to run again wait for its agent, or for the one that the person names."""
    for place in again.to_reassign(turn) if decision.agent else again.to_run_again(turn):
        step = turn.steps[place]
        agent = decision.agent or step.agent
        turn.set_step(
            place,
            phase=StepPhase.WAITING,
            agent=agent,
            ask=None,
            next_hop=step.hop + 1,
            lost=0,
            tried=(agent,),
            kept=step.kept and replace(step.kept, final=False),
        )
    for place, step in enumerate(turn.steps):
        if step.trail or step.holders:
            turn.set_step(place, trail=(), holders=())


def _grant(turn: Turn, decision: Decided) -> None:
    """Raise what may be used, and count anew what has led to the desk."""
    task = turn.task
    turn.change(
        ledger=task.ledger.raised(decision.more),
        hops_max=min(task.hops_max + decision.hops, limits.HOPS_EVER_MAX),
        past=(),
        replans=0,
        stalls=0,
        unstuck=False,
        circling=None,
        satisfied=False,
        advice=decision.why,
    )


def _back_from_the_desk(turn: Turn, more_ms: int = 0) -> None:
    """Go on: the time on the desk was not the task's."""
    task = turn.task
    assert task.letter is not None
    left_ms = max(0, task.deadline_ms - task.letter.filed_ms)
    turn.change(
        phase=Phase.WORKING,
        letter=None,
        decision=None,
        deadline_ms=turn.now_ms + left_ms + more_ms,
    )
