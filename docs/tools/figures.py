"""The reference of figures and names: settings, limits, keys, metrics."""

import ast
import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from writing import ROOT, laid_out, table, text_of

from envelopes import limits
from orchestrator.http.metrics import ALL
from orchestrator.store import catalogue

_SETTING: Final = re.compile(r"^ *((?:BUCKSTOP|OTEL)_\w+) {2,}(.+(?:\n {8,}\S.*)*)", re.MULTILINE)


def settings() -> str:
    """Write down every setting, as the modules that read it describe it."""
    parts = ["# Settings", "All of them are environment variables."]
    for folder, title in (("orchestrator", "Orchestrators and clients"), ("workers", "Workers")):
        rows = dict(row for path in _modules(folder, "envelopes") for row in _settings(path))
        parts += [f"## {title}", table(("name", "meaning"), sorted(rows.items()))]
    return "\n\n".join(parts)


def _modules(*folders: str) -> list[Path]:
    return [path for folder in folders for path in sorted((ROOT / folder).rglob("*.py"))]


def _settings(path: Path) -> Iterator[tuple[str, str]]:
    said = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    for name, meaning in _SETTING.findall(said):
        yield f"`{name}`", text_of(meaning)


def limits_() -> str:
    """Write down every limit with its reason."""
    text = Path(limits.__file__).read_text(encoding="utf-8")
    headings = {
        number: line.strip("# -")
        for number, line in enumerate(text.splitlines())
        if line[:5] == "# ---"
    }
    parts, rows = ["# Limits", inspect.getdoc(limits) or ""], list[tuple[str, ...]]()
    for node, said in _assignments(text):
        while headings and min(headings) < node.lineno:
            parts += [table(("limit", "value", "why"), rows)] if rows else []
            parts, rows = [*parts, f"## {headings.pop(min(headings)).capitalize()}"], []
        name = ast.unparse(node.target)
        rows.append((f"`{name}`", _figure(getattr(limits, name)), said))
    return "\n\n".join([*parts, table(("limit", "value", "why"), rows)])


def _assignments(text: str) -> Iterator[tuple[ast.AnnAssign, str]]:
    body = ast.parse(text).body
    for node, after in zip(body, [*body[1:], None], strict=True):
        if isinstance(node, ast.AnnAssign):
            assert isinstance(after, ast.Expr)
            assert isinstance(after.value, ast.Constant)
            yield node, text_of(after.value.value)


def _figure(value: object) -> str:
    return f"{value:,}" if isinstance(value, int | float) else f"`{value!r}`"


def keys() -> str:
    """Write down what every key holds: the store's catalogue."""
    return f"# Keys\n\n{laid_out(inspect.getdoc(catalogue) or '')}"


def metrics() -> str:
    """Write down every figure that /metrics tells."""
    rows = [(f"`{each.shown}`", ", ".join(each.labels), text_of(each.about)) for each in ALL]
    return "\n\n".join(["# Metrics", table(("name", "labels", "meaning"), rows)])
