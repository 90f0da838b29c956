"""Plant one wrong line in a copy of the code, and let the simulation look for it.

Runs in processes that have loaded Celery and the like once and our own code never, so each can load
a copy of its own. Nothing here may import envelopes or orchestrator at the top.
"""

import shutil
import signal
import sys
import tempfile
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from importlib import import_module
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from seeded_bugs import Bug

ROOT = Path(__file__).parent.parent
PACKAGES = ("envelopes", "orchestrator")
SEEDS, TASKS = 16, 704
"""Worlds and tasks for each bug; without a bug, they reach every rule and break no promise."""
MORE_WORLDS = 4
"""How often as many other worlds are tried: what needs an accident of timing may miss the first."""
PATIENCE_S = 120
"""Of the processor's time: what hangs here goes round and round, and a busy machine is no bug."""
HEAVY = [
    *("celery", "celery.app.amqp", "celery.app.base", "cryptography.hazmat.primitives.asymmetric"),
    *("jsonschema", "kombu.transport.virtual", "msgspec", "pydantic", "redis"),
]


def search(bugs: Iterable[Bug | None]) -> Iterator[str]:
    """Say of each bug how the simulation found it, or nothing; None plants nothing."""
    context = get_context("forkserver")
    context.set_forkserver_preload(HEAVY)
    with ProcessPoolExecutor(2, mp_context=context, max_tasks_per_child=1) as pool:
        yield from pool.map(found, bugs)


def found(bug: Bug | None) -> str:
    """Run the simulation on a copy with the bug in it; return what it found."""
    signal.signal(signal.SIGPROF, _out_of_patience)
    signal.setitimer(signal.ITIMER_PROF, PATIENCE_S)
    with tempfile.TemporaryDirectory() as copy:
        for package in PACKAGES:
            ignored = shutil.ignore_patterns("__pycache__")
            shutil.copytree(ROOT / package, Path(copy) / package, ignore=ignored)
        if bug is not None:
            plant(bug, Path(copy) / bug.file)
        sys.path.insert(0, copy)
        import_module("orchestrator.sim.main")  # a bug that cannot be loaded is no bug, but a typo
        try:
            return _told(_simulated(1)) or (bug is not None and _found_later()) or ""
        except TimeoutError:
            return "it hangs"
        except Exception as error:  # noqa: BLE001 -- code that raises is found as well
            return f"{type(error).__name__}: {error}"


def plant(bug: Bug, path: Path) -> None:
    """Replace the line, which must stand there exactly once."""
    lines = path.read_text().splitlines()
    places = [place for place, line in enumerate(lines) if line.strip() == bug.line.strip()]
    exact = [place for place in places if lines[place] == bug.line] or places
    if len(exact) != 1:
        raise SystemExit(f"{bug.file} has {len(exact)} lines {bug.line!r}, to plant: {bug.name}")
    indent = lines[exact[0]][: -len(lines[exact[0]].lstrip())]
    lines[exact[0]] = indent + bug.wrong.strip()
    path.write_text("\n".join(lines) + "\n")


def _simulated(first: int) -> Any:
    from orchestrator.sim.main import run, shares

    assert not Path(run.__code__.co_filename).is_relative_to(ROOT)
    return run(list(range(first, first + SEEDS)), shares(TASKS, SEEDS), until_broken=True)


def _found_later() -> str:
    """Look for a broken promise in other worlds; what those happen not to reach says nothing."""
    for more in range(1, MORE_WORLDS + 1):
        if broken := _simulated(1 + more * SEEDS).violations:
            return str(broken[0].what)
    return ""


def _told(report: Any) -> str:
    if report.violations:
        return str(report.violations[0].what)
    if report.rules_never_fired:
        return f"never reached: {', '.join(report.rules_never_fired)}"
    return f"nothing to check: {', '.join(report.void)}" if report.void else ""


def _out_of_patience(*_: object) -> None:
    raise TimeoutError
