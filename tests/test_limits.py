"""Every limit stands in one file, with its reason, and nowhere else."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from envelopes import limits

ROOT = Path(__file__).parents[1]
SOURCE = Path(limits.__file__)
PACKAGES = ("envelopes", "orchestrator", "workers")
MODULES = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))


def names() -> list[str]:
    return [name for name in vars(limits) if name.isupper()]


def reasons() -> dict[str, str | None]:
    """Return each limit with the text that stands under it."""
    body = ast.parse(SOURCE.read_text()).body
    found: dict[str, str | None] = {}
    for place, node in enumerate(body):
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            after = body[place + 1] if place + 1 < len(body) else None
            text = after.value if isinstance(after, ast.Expr) else None
            is_text = isinstance(text, ast.Constant) and isinstance(text.value, str)
            found[node.target.id] = text.value if is_text else None
    return found


@pytest.mark.parametrize("name", names())
def test_every_limit_has_its_reason(name: str) -> None:
    """limits.py: "Every limit of the system, each with its reason"."""
    reason = reasons()[name]
    assert reason, f"{name} stands there without a word"
    assert reason.rstrip().endswith((".", ")")), f"{name}: a reason is a sentence"


def test_every_limit_is_final_and_positive() -> None:
    """A limit is set in one place and never moved at run time."""
    for node in ast.parse(SOURCE.read_text()).body:
        if isinstance(node, ast.AnnAssign):
            assert ast.unparse(node.annotation) == "Final"
        assert not isinstance(node, ast.Assign)
    assert all(getattr(limits, name) > 0 for name in names())


def constants(text: str) -> Iterator[tuple[str, object]]:
    """Find the figures that a module names: NAME = 4 * 1024, at its top."""
    for node in ast.parse(text).body:
        match node:
            case ast.Assign(targets=[ast.Name(id=name)]) | ast.AnnAssign(target=ast.Name(id=name)):
                yield name, figure(node.value)


def figure(node: ast.AST | None) -> object:
    match node:
        case ast.Constant(value=int() | float()):
            return node.value
        case ast.BinOp(op=ast.Mult()):
            factors = figure(node.left), figure(node.right)
            return None if None in factors else factors[0] * factors[1]  # type: ignore[operator]
        case _:
            return None


def copies(text: str) -> list[str]:
    """Find a limit under its own name, and a size in bytes under any."""
    sizes = {getattr(limits, name): name for name in names() if "BYTES" in name}
    found = []
    for name, value in constants(text):
        plain = name.strip("_")
        if plain in names():
            found.append(f"{name} is limits.{plain}")
        elif "BYTES" in plain and value in sizes:
            found.append(f"{name} is limits.{sizes[value]}")
    return found


def test_a_copy_of_a_limit_is_found() -> None:
    """The check below can fail."""
    assert copies("BATCH = 32\n_PARCEL_BYTES_MAX: Final = 256 * 1024\n_BEAT_MS = 5") == [
        "_PARCEL_BYTES_MAX is limits.MESSAGE_BYTES_MAX",
        "_BEAT_MS is limits.BEAT_MS",
    ]


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_module_spells_a_limit_of_its_own(path: Path) -> None:
    """limits.py: "Nothing else in the repository may spell one of these numbers"."""
    found = [] if path == SOURCE else copies(path.read_text())
    assert not found


def test_the_limits_fit_each_other() -> None:
    """Figures that depend on one another say so here, where moving one breaks a test."""
    assert limits.BEAT_MS * 3 <= limits.LEASE_MS < limits.PATIENCE_MS
    assert limits.WAIT_MS_MAX < limits.SOCKET_TIMEOUT_S * 1000
    assert limits.HOPS_DEFAULT < limits.HOPS_CEILING < limits.HOPS_EVER_MAX < 1000
    assert limits.SUBTASKS_DEFAULT < limits.SUBTASKS_CEILING
    assert limits.PAYLOAD_BYTES_MAX * 4 / 3 < limits.MESSAGE_BYTES_MAX - 2 * 1024
    assert limits.GOAL_CHARS_MAX * 4 <= limits.PAYLOAD_BYTES_MAX
    assert limits.AMOUNT_CEILING < 10**limits.AMOUNT_DIGITS_MAX < 2**53
    assert limits.TIME_MS_CEILING == 2**53 - 1
    assert limits.JOURNAL_MAX >= 2 * limits.SUBTASKS_CEILING
    assert limits.WORKER_TTL_MS >= limits.LEASE_MS
