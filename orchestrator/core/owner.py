"""How a task ends, and what a cap leads to.

The owner of every task is the orchestrator. At a cap its policy is, from where the caller lets it
begin: deliver what is kept if that passes the gate, else ask a person, else abort. Before any
ending the claims of open subtasks are taken away, so that the books are exact and nobody can spend
on a task that has ended.

Not here: what becomes of a letter once it is on the desk (desk.py).
"""

from msgspec.structs import replace

from envelopes import Amounts, AtCap, limits
from envelopes.letter import LetterKind
from orchestrator.core import gate, services, story
from orchestrator.core.commands import Conclude, Escalate, Look
from orchestrator.core.finish import achieved
from orchestrator.core.task import (
    Asked,
    Composed,
    Ending,
    Letter,
    Outcome,
    Phase,
    Role,
    StepState,
    Word,
)
from orchestrator.core.turn import Turn


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


# --- to the desk ---------------------------------------------------------------------------------


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
