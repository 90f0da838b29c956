"""Commands for the person at the end: letters, decide."""

import itertools
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import asdict
from typing import Any, Final

import click
from pydantic import TypeAdapter

from envelopes import limits
from envelopes.counted import counted, doing
from envelopes.decision import Decision, Verb
from envelopes.letter import Facet, LetterKind
from envelopes.request import Seconds
from envelopes.strict import Refused, check_json, compact, parse
from orchestrator.cli.exits import Exit
from orchestrator.cli.letter_screen import cause_table, letter_line, letter_page, letter_table
from orchestrator.cli.options import (
    Command,
    complain,
    connected,
    json_option,
    url_option,
    write_json,
)
from orchestrator.cli.screen import console
from orchestrator.client import PREFIX_AMONG, Buckstop, DecidedAll, NotFound
from orchestrator.news import News
from orchestrator.settings import person
from orchestrator.wanted import ALL, Wanted

_AS_GIVEN = ("hops", "time", "why", "answer")
_FLAGS: Final = {"result": "--result", "answer": "--answer", "agent": "--to", "why": "--why",
                 "by": "--by", "hops": "--hops", "time": "--time",
                 "budget": "--tokens, --usd, --calls"}  # fmt: skip
"""Where a field of a decision is said on the command line."""
_SAMPLE: Final = 5
"""Letters told of many that were not decided."""
_WATCHED: Final = 1_000
"""Letters remembered, so that none is told twice."""
_LOOK_S: Final = 1.0
_FILED: Final = frozenset({"letter.filed", "letter.refiled"})
_ANY: Final = "any"
"""Stands for a letter's id while it is not known which."""
_SEE_ALL: Final = "see all: buckstop letters"


def wanted_options(command: Command) -> Command:
    """Add the options that say which letters are meant."""
    options: list[Callable[[Command], Command]] = [
        click.option("--kind", type=click.Choice([each.value for each in LetterKind]),
                     help="Only of this kind."),
        click.option("--reason", help="Only with this reason, such as hop_cap."),
        click.option("--agent", help="Only about this agent."),
        click.option("--tenant", help="Only of this tenant."),
        click.option("--older", metavar="TIME", help="Only what has waited so long, such as 2h."),
    ]  # fmt: skip
    for option in reversed(options):
        command = option(command)
    return command


@click.command()
@click.argument("words", nargs=-1, metavar="[show LETTER | watch]")
@wanted_options
@click.option(
    "--group", type=click.Choice([each.value for each in Facet]), help="Count them by this."
)
@click.option(
    "--count", "-n", default=20, show_default=True, type=click.IntRange(1, 1000), help="How many."
)
@url_option
@json_option
def letters(
    words: tuple[str, ...],
    group: str | None,
    count: int,
    url: str | None,
    *,
    as_json: bool,
    **given: Any,
) -> None:
    """List what waits for a person, newest first; count it; show one letter; or watch.

    A cause is decided once: buckstop letters --group reason, then buckstop decide --all.
    """
    wanted = _wanted(given)
    with connected(url) as buckstop:
        match words:
            case ():
                _listed(buckstop, wanted, group, count, as_json=as_json)
            case ("show", letter):
                found = buckstop.letter(_whole_id(buckstop, letter))
                write_json(found) if as_json else console().print(letter_page(found))
            case ("watch",):
                _watched(buckstop, wanted, as_json=as_json)
            case _:
                raise click.UsageError("say: buckstop letters [show LETTER | watch]")


def _wanted(given: dict[str, Any]) -> Wanted:
    older = given.pop("older")
    facets = {facet.value: given.pop(facet.value) for facet in Facet}
    if older is None:
        return Wanted(**facets)
    try:
        seconds = TypeAdapter(Seconds).validate_python(older)
    except ValueError:
        raise click.UsageError("--older is a time, such as 90s, 5m or 2h") from None
    return Wanted(**facets, least_age_ms=int(seconds * 1000))


def _listed(
    buckstop: Buckstop, wanted: Wanted, group: str | None, count: int, *, as_json: bool
) -> None:
    found: Any = (
        buckstop.letter_counts(Facet(group), wanted)
        if group
        else buckstop.letters(count, wanted=wanted).items
    )
    if as_json:
        write_json(found)
    elif not found:
        whole = wanted == ALL
        print("nothing waits for a person" if whole else f"no such letter waits; {_SEE_ALL}")
    elif group:
        console().print(cause_table(group, found))
    else:
        console().print(letter_table(found))
        _say_what_is_not_shown(buckstop, wanted, len(found))


def _say_what_is_not_shown(buckstop: Buckstop, wanted: Wanted, shown: int) -> None:
    there = buckstop.store.count_letters(wanted)
    if there > shown:
        complain(
            f"{shown} of {counted(there, 'letter')}; by cause: buckstop letters --group reason"
        )


def _watched(buckstop: Buckstop, wanted: Wanted, *, as_json: bool) -> None:
    """Write each new letter on a line of its own, until Ctrl-C."""
    new = _aging(buckstop, wanted) if wanted.least_age_ms else _filed(buckstop, wanted)
    waiting = doing(buckstop.store.count_letters(wanted), "letter", "waits", "wait")
    complain(f"{waiting}; new ones follow, until Ctrl-C")
    for letter in new:
        found = buckstop.letter(letter)
        write_json(found) if as_json else print(letter_line(found), flush=True)


def _filed(buckstop: Buckstop, wanted: Wanted) -> Iterator[str]:
    """Yield each letter that is filed from now on, once, though its reason may be told later."""
    news, told = buckstop.news(), deque[str](maxlen=_WATCHED)
    return (letter for each in news if (letter := _wanted_of(each, wanted, told)))


def _wanted_of(news: News, wanted: Wanted, told: deque[str]) -> str | None:
    letter = news.fields.get("letter", "")
    fits = all(news.fields.get(facet) == value for facet, value in wanted.facets())
    if news.event not in _FILED or not fits or letter in told:
        return None
    told.append(letter)
    return letter


def _aging(buckstop: Buckstop, wanted: Wanted) -> Iterator[str]:
    """Yield each letter that has waited so long by now; nobody tells of that, so one looks."""
    seen = set(_newest(buckstop, wanted, _WATCHED))
    while True:
        time.sleep(_LOOK_S)
        now = _newest(buckstop, wanted, _WATCHED)
        yield from (letter for letter in reversed(now) if letter not in seen)
        seen = set(now)


def _newest(buckstop: Buckstop, wanted: Wanted, count: int) -> list[str]:
    return [each.id for each in buckstop.store.find_letters(wanted, count)]


@click.command()
@click.argument("words", nargs=-1, metavar="LETTER VERB | --all VERB")
@click.option("--result", metavar="JSON", help="amend: what to deliver instead.")
@click.option("--answer", metavar="TEXT", help="answer: what the agent wanted to know.")
@click.option("--tokens", type=int, help="retry: so many tokens more.")
@click.option("--usd", help="retry: so many US dollars more.")
@click.option("--calls", type=int, help="retry: so many calls more.")
@click.option("--hops", type=int, help="retry: so many hops more.")
@click.option("--time", help="retry: so much time more, such as 5m.")
@click.option("--to", metavar="AGENT", help="reassign, retry: the agent that is to go on.")
@click.option("--why", help="For the record.")
@click.option("--by", help="Who decides; your user name unless said otherwise.")
@click.option("--all", "every", is_flag=True, help="Decide all that the next five leave.")
@wanted_options
@click.option("--yes", is_flag=True, help="With --all: do it; without, only show what it would be.")
@url_option
@json_option
def decide(
    words: tuple[str, ...], url: str | None, *, every: bool, yes: bool, as_json: bool, **given: Any
) -> Exit:
    """Decide LETTER. The first decision wins; a later one is told whose that was.

    approve delivers what is kept, amend delivers --result, answer tells the agent that asked
    --answer, retry goes on with more, reassign lets --to go on, abort ends. Of a message that was
    set aside: replay puts it back on its queue, discard lets it go.
    """
    wanted = _wanted(given)
    if every:
        decision = _decision(_ANY, _one(words), given)
        return _decide_all(url, wanted, decision, yes=yes, as_json=as_json)
    if wanted != Wanted():
        raise click.UsageError("a filter needs --all; one letter is decided by its id")
    if len(words) != 2:  # noqa: PLR2004 -- two words
        raise click.UsageError("say: buckstop decide LETTER VERB, or: buckstop decide --all VERB")
    return _decide_one(url, words[0], _decision(words[0], words[1], given), as_json=as_json)


def _one(words: tuple[str, ...]) -> str:
    if len(words) != 1:
        raise click.UsageError("with --all say the verb, and no letter")
    return words[0]


def _decide_one(url: str | None, letter: str, decision: Decision, *, as_json: bool) -> Exit:
    with connected(url) as buckstop:
        letter = _whole_id(buckstop, letter)
        decided = buckstop.decide(decision.model_copy(update={"letter": letter}))
    if as_json:
        write_json(decided)
    elif decided.first:
        print(f"{letter}: {decided.verb}")
    else:
        why = f": {decided.why}" if decided.why else ""
        print(f"{letter} was decided before: {decided.verb} by {decided.by}{why}")
    return Exit.OK if decided.first else Exit.ENDED_BADLY


def _decide_all(
    url: str | None, wanted: Wanted, decision: Decision, *, yes: bool, as_json: bool
) -> Exit:
    with connected(url) as buckstop:
        if not yes:
            _preview(buckstop, wanted, decision.verb, as_json=as_json)
            return Exit.OK
        done = buckstop.decide_all(wanted, decision)
    write_json(done) if as_json else _tell(done, decision.verb)
    return Exit.ENDED_BADLY if done.refused else Exit.OK


def _preview(buckstop: Buckstop, wanted: Wanted, verb: Verb, *, as_json: bool) -> None:
    seen = buckstop.preview(wanted, verb)
    if as_json:
        write_json({"verb": verb, **asdict(seen)})
        return
    if seen.sample:
        console().print(letter_table(seen.sample))
    if seen.refusing:
        do = "does" if seen.refusing == 1 else "do"
        complain(
            f"{seen.refusing:,} of the newest {seen.looked_at:,} {do} not allow {verb}, and would "
            "stay open"
        )
    fit = counted(seen.letters - seen.refusing, "letter")
    most = "up to " if seen.letters > seen.looked_at else ""
    again = "say it again with --yes to do it" if seen.letters > seen.refusing else _SEE_ALL
    complain(f"{verb} would decide {most}{fit}; {again}")


def _tell(done: DecidedAll, verb: Verb) -> None:
    print(f"{verb}: {done.decided:,} decided, {done.before:,} decided before")
    for letter, why in list(done.refused.items())[:_SAMPLE]:
        complain(f"{letter}: {why}")
    if len(done.refused) > _SAMPLE:
        complain(f"refused besides: {len(done.refused) - _SAMPLE:,} more")


def _whole_id(buckstop: Buckstop, beginning: str) -> str:
    """Return the one open letter that begins so; else what was given, for the client to refuse."""
    if buckstop.store.letter(beginning):
        return beginning
    newest = _newest(buckstop, ALL, PREFIX_AMONG)
    found = [each for each in newest if each.startswith(beginning)]
    if len(found) > 1:
        raise NotFound(
            f"{beginning!r} is the beginning of {len(found)} letters; write more of it: "
            + ", ".join(found[:5])
        )
    return found[0] if found else _latest_of_a_task(buckstop, beginning)


def _latest_of_a_task(buckstop: Buckstop, beginning: str) -> str:
    """Return the last letter of the task that begins so: whoever comes late is told who decided."""
    try:
        task = buckstop.task(beginning.partition(".")[0]).id
    except NotFound:
        return beginning
    numbered = (f"{task}.{number}" for number in itertools.count(1))
    there = list(itertools.takewhile(buckstop.store.letter, numbered))
    return next((each for each in reversed(there) if each.startswith(beginning)), beginning)


def _decision(letter: str, verb: str, given: dict[str, Any]) -> Decision:
    """Make a decision of the flags, checked like one that came from anywhere."""
    fields = {"letter": letter, "verb": verb, "by": given["by"] or person()}
    fields |= {name: given[name] for name in _AS_GIVEN if given[name] is not None}
    fields |= {"agent": given["to"]} if given["to"] is not None else {}
    if budget := {n: given[n] for n in ("tokens", "usd", "calls") if given[n] is not None}:
        fields["budget"] = budget
    bytes_max = limits.ENVELOPE_BYTES_MAX
    if given["result"] is not None:
        fields["result"] = check_json(given["result"], bytes_max=bytes_max, what="result")
    try:
        return parse(Decision, compact(fields), bytes_max=bytes_max, what="decision")
    except Refused as wrong:
        raise Refused(_FLAGS.get(wrong.field, wrong.field), wrong.why) from None
