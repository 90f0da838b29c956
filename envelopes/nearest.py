"""Ask whoever has misspelt a name whether they meant the nearest that there is."""

from collections.abc import Iterable


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return the question, to be put behind the name; nothing where none is near."""
    from difflib import get_close_matches  # noqa: PLC0415 -- only who mistypes needs it

    near = get_close_matches(name, [*known], 1)
    return f" (did you mean {near[0]!r}?)" if near else ""
