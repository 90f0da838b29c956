"""Who may import whom, and the pictures that are drawn from the code."""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestrator.core.task import Phase, StepPhase
from orchestrator.core.transitions import STEP_MOVES, TASK_MOVES, diagram

ROOT = Path(__file__).parents[1]
ARCHITECTURE = ROOT / "ARCHITECTURE.md"

FORBIDDEN = {
    "envelopes": ("orchestrator", "workers", "celery", "kombu"),
    "orchestrator": ("workers",),
    "workers": ("orchestrator",),
}
CORE_MAY = {"envelopes", "orchestrator.core", "msgspec", "re2"}
CORE_MAY_NOT = {
    *("asyncio", "datetime", "logging", "multiprocessing", "os", "pathlib", "random", "secrets"),
    *("select", "signal", "socket", "subprocess", "threading", "time", "uuid", "urllib"),
}
REDIS_ONLY_IN = {"envelopes/connection.py", "envelopes/scripts.py"}

DIAGRAMS = {
    "task": diagram(TASK_MOVES, Phase.WORKING),
    "step": diagram(STEP_MOVES, StepPhase.WAITING),
}


def modules(folder: str) -> list[Path]:
    return sorted((ROOT / folder).rglob("*.py"))


def imports(text: str) -> Iterator[str]:
    """Return every module that a source imports, at the top or deep inside a function."""
    for node in ast.walk(ast.parse(text)):
        match node:
            case ast.Import():
                yield from (name.name for name in node.names)
            case ast.ImportFrom(module=str(module)):
                assert node.level == 0, "relative imports hide where things come from"
                yield module
                yield from (f"{module}.{name.name}" for name in node.names)
            case ast.Call(func=ast.Name(id="__import__") | ast.Attribute(attr="import_module")):
                yield from (a.value for a in node.args[:1] if isinstance(a, ast.Constant))


def below(module: str, packages: set[str] | tuple[str, ...]) -> bool:
    return any(module == each or module.startswith(f"{each}.") for each in packages)


# --- direction -----------------------------------------------------------------------------------


def test_an_import_is_found_wherever_it_hides() -> None:
    """The checks below can fail."""
    text = "def f():\n  if 1:\n    from workers import claims\nimport_module('a.b')\n"
    text += "import importlib\nimportlib.import_module('c.d')\n__import__('e')\n"
    assert {"workers", "workers.claims", "c.d", "e"} <= set(imports(text))
    assert below("workers.claims", ("workers",))
    assert not below("workershop", ("workers",))


@pytest.mark.parametrize(
    "path",
    [path for package in FORBIDDEN for path in modules(package)],
    ids=lambda path: str(path.relative_to(ROOT)),
)
def test_no_package_imports_against_the_direction(path: Path) -> None:
    """ARCHITECTURE: "Workers and orchestrator never import each other"."""
    name = path.relative_to(ROOT)
    against = [each for each in imports(path.read_text()) if below(each, FORBIDDEN[name.parts[0]])]
    assert not against, f"{name} imports {against}"


@pytest.mark.parametrize("path", modules("orchestrator/core"), ids=lambda path: path.stem)
def test_the_core_imports_nothing_that_acts_or_knows_the_time(path: Path) -> None:
    """The promise: "no I/O, no clock, no randomness": envelopes and pure libraries only."""
    for module in imports(path.read_text()):
        assert not below(module, CORE_MAY_NOT), f"{path.name} imports {module}"
        assert below(module, CORE_MAY) or below(module, set(sys.stdlib_module_names)), module
        assert not below(module, {"envelopes.scripts", "envelopes.keys"}), module


@pytest.mark.parametrize("path", modules("orchestrator/core"), ids=lambda path: path.stem)
def test_the_core_opens_and_prints_nothing(path: Path) -> None:
    """What leaves the core is a command; only the diagrams' own main prints."""
    called = {
        node.func.id
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
    }
    allowed = {"print"} if path.stem == "transitions" else set()
    assert not called & ({"open", "input", "exec", "eval", "print"} - allowed)


@pytest.mark.parametrize("path", modules("envelopes"), ids=lambda path: path.stem)
def test_only_one_place_in_the_vocabulary_knows_redis(path: Path) -> None:
    """The vocabulary is pure; scripts.py is "the one place in envelopes that knows Redis"."""
    knows = any(below(module, ("redis",)) for module in imports(path.read_text()))
    assert knows == (str(path.relative_to(ROOT)) in REDIS_ONLY_IN)


def test_the_vocabulary_and_the_core_stand_alone() -> None:
    """Imported for real, they bring no shell, no worker and no Celery with them."""
    code = (
        "import sys, envelopes, envelopes.schemas, envelopes.seal, orchestrator.core.decide, "
        "orchestrator.core.state, orchestrator.core.transitions\n"
        "shell = [m for m in sys.modules if m.startswith('orchestrator.') and m[13:17] != 'core']\n"
        "print(shell + sorted({'workers', 'celery', 'kombu', 'redis'} & set(sys.modules)))"
    )
    run = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, check=True, capture_output=True, text=True
    )
    assert run.stdout == "[]\n"


@pytest.mark.parametrize(
    "path",
    [path for package in FORBIDDEN for path in modules(package)],
    ids=lambda path: str(path.relative_to(ROOT)),
)
def test_every_module_begins_by_saying_what_it_is_for(path: Path) -> None:
    """Prose first."""
    assert ast.get_docstring(ast.parse(path.read_text())), path


# --- pictures ------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", DIAGRAMS)
def test_the_diagrams_are_those_of_the_tables(name: str, *, rewrite: bool) -> None:
    """Issue: "Transition table as data, diagram in ARCHITECTURE.md generated from it"."""
    between = re.compile(rf"(<!-- diagram:{name} -->\n)(.*?)(<!-- /diagram -->)", re.DOTALL)
    drawn = f"```mermaid\n{DIAGRAMS[name]}\n```\n"
    text = ARCHITECTURE.read_text(encoding="utf-8")
    if rewrite:
        text = between.sub(lambda found: found[1] + drawn + found[3], text)
        ARCHITECTURE.write_text(text, encoding="utf-8")
    [found] = between.findall(text)
    assert found[1] == drawn, "run: pytest tests/test_architecture.py --rewrite"


def test_the_diagrams_can_be_printed() -> None:
    """`python -m orchestrator.core.transitions`."""
    run = subprocess.run(
        [sys.executable, "-m", "orchestrator.core.transitions"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    )
    assert run.stdout == f"{DIAGRAMS['task']}\n{DIAGRAMS['step']}\n"


def test_every_phase_can_be_reached_and_left_unless_it_is_an_end() -> None:
    """The tables are whole: no phase is cut off, and only an end is an end."""
    for moves, first, ends in (
        (TASK_MOVES, Phase.WORKING, {Phase.DONE}),
        (STEP_MOVES, StepPhase.WAITING, {StepPhase.DROPPED}),
    ):
        reached = {first, *(after for _, after in moves)}
        left = {before for before, _ in moves}
        assert reached == set(type(first))
        assert set(type(first)) - left == ends
        assert all(before is not after for before, after in moves)
