"""The auditor's own arithmetic: sums and bounds in tokens, micro-dollars and calls."""

from typing import Final

from orchestrator.sim.evidence import Bound, Sum

NOTHING: Final[Sum] = (0, 0, 0)


def within(total: Sum, bound: Bound) -> bool:
    """Say whether a sum is inside every bound there is."""
    return all(b is None or t <= b for t, b in zip(total, bound, strict=True))


def clamped(total: Sum, bound: Bound) -> Sum:
    """Cut a sum down to what the bounds admit."""
    tokens, usd, calls = (t if b is None else min(t, b) for t, b in zip(total, bound, strict=True))
    return tokens, usd, calls


def held(allowance: Bound) -> Sum:
    """Return what a reservation of an allowance holds: nothing where it has no bound."""
    tokens, usd, calls = (bound or 0 for bound in allowance)
    return tokens, usd, calls


def plus(a: Sum, b: Sum) -> Sum:
    """Add."""
    return a[0] + b[0], a[1] + b[1], a[2] + b[2]


def minus(a: Sum, b: Sum) -> Sum:
    """Take away."""
    return a[0] - b[0], a[1] - b[1], a[2] - b[2]


def least(a: Sum, b: Sum) -> Sum:
    """Return the smaller figure of each dimension."""
    return min(a[0], b[0]), min(a[1], b[1]), min(a[2], b[2])


def most(a: Sum, b: Sum) -> Sum:
    """Return the larger figure of each dimension."""
    return max(a[0], b[0]), max(a[1], b[1]), max(a[2], b[2])
