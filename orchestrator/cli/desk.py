"""Commands for the person at the end: letters, decide."""

from typing import Any

import click

from envelopes import limits
from envelopes.decision import Decision, Verb
from envelopes.strict import check_json, compact, parse
from orchestrator.cli.exits import Exit
from orchestrator.cli.options import connected, json_option, person, url_option, write_json
from orchestrator.cli.screen import console, letter_page, letter_table
from orchestrator.client import PREFIX_AMONG, Buckstop, NotFound

_AS_GIVEN = ("hops", "time", "why", "answer")


@click.command()
@click.argument("words", nargs=-1, metavar="[show LETTER]")
@click.option(
    "--count", "-n", default=20, show_default=True, type=click.IntRange(1, 1000), help="How many."
)
@url_option
@json_option
def letters(words: tuple[str, ...], count: int, url: str | None, *, as_json: bool) -> None:
    """List what waits for a person, newest first; or show one letter."""
    if words and (words[0] != "show" or len(words) != 2):  # noqa: PLR2004 -- two words
        raise click.UsageError("say: buckstop letters, or: buckstop letters show LETTER")
    with connected(url) as buckstop:
        found: Any = (
            buckstop.letter(_whole_id(buckstop, words[1])) if words else buckstop.letters(count)
        )
    if as_json:
        write_json(found)
    elif words:
        console().print(letter_page(found))
    elif found:
        console().print(letter_table(found))
    else:
        print("nothing waits for a person")


@click.command()
@click.argument("letter")
@click.argument("verb", type=click.Choice([verb.value for verb in Verb]))
@click.option("--result", metavar="JSON", help="amend: what to deliver instead.")
@click.option("--answer", metavar="TEXT", help="answer: what the agent wanted to know.")
@click.option("--tokens", type=int, help="retry: so many tokens more.")
@click.option("--usd", help="retry: so many US dollars more.")
@click.option("--calls", type=int, help="retry: so many calls more.")
@click.option("--hops", type=int, help="retry: so many hops more.")
@click.option("--time", help="retry: so much time more, such as 5m.")
@click.option("--why", help="For the record.")
@click.option("--by", help="Who decides; your user name unless said otherwise.")
@url_option
@json_option
def decide(letter: str, verb: str, url: str | None, *, as_json: bool, **given: Any) -> Exit:
    """Decide LETTER. The first decision wins; a later one is told whose that was.

    approve delivers what is kept, amend delivers --result, answer tells the agent that asked
    --answer, retry goes on with more, abort ends.
    """
    decision = _decision(letter, verb, given)
    with connected(url) as buckstop:
        letter = _whole_id(buckstop, letter)
        decided = buckstop.decide(decision.model_copy(update={"letter": letter}))
    if as_json:
        write_json(decided)
    elif decided.first:
        print(f"{letter}: {decided.verb}")
    else:
        print(f"{letter} was decided before: {decided.verb} by {decided.by} {decided.why}".rstrip())
    return Exit.OK if decided.first else Exit.ENDED_BADLY


def _whole_id(buckstop: Buckstop, beginning: str) -> str:
    """Return the one open letter that begins so; else what was given, for the client to refuse."""
    if buckstop.store.letter(beginning):
        return beginning
    newest = buckstop.store.letters(0, PREFIX_AMONG)
    found = [each for each in newest if each.startswith(beginning)]
    if len(found) > 1:
        raise NotFound(
            f"{beginning!r} is the beginning of {len(found)} letters; write more of it: "
            + ", ".join(found[:5])
        )
    return found[0] if found else beginning


def _decision(letter: str, verb: str, given: dict[str, Any]) -> Decision:
    """Make a decision of the flags, checked like one that came from anywhere."""
    fields = {"letter": letter, "verb": verb, "by": given["by"] or person()}
    fields |= {name: given[name] for name in _AS_GIVEN if given[name] is not None}
    if budget := {n: given[n] for n in ("tokens", "usd", "calls") if given[n] is not None}:
        fields["budget"] = budget
    bytes_max = limits.ENVELOPE_BYTES_MAX
    if given["result"] is not None:
        fields["result"] = check_json(given["result"], bytes_max=bytes_max, what="result")
    return parse(Decision, compact(fields), bytes_max=bytes_max, what="decision")
