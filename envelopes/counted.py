"""Numbers of things, as people say them: 1 task, 2 tasks, 1,000 replies.

Read by whatever writes sentences, on both sides.
"""


def counted(count: int, what: str, many: str = "") -> str:
    """Return a number of things; `many` is their plural where it is no plain one."""
    return f"{count:,} {what if count == 1 else many or _plural(what)}"


def doing(count: int, what: str, does: str = "is", do: str = "are") -> str:
    """Return the same, and what they do: 1 task is, 2 tasks are."""
    return f"{counted(count, what)} {does if count == 1 else do}"


def _plural(what: str) -> str:
    return f"{what[:-1]}ies" if what.endswith("y") else f"{what}s"
