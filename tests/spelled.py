"""Which texts a test spells, or puts together of others: read from its source, without running it.

    texts("test_readme.py")    every text of it, names of its own and imported ones filled in

So a check can say which block of a page no test names. Where a text is put together of something
that is only known when it runs, such as a test's parameter, each text of the file is tried.
"""

import ast
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Final

TESTS: Final = Path(__file__).parent
Known = Mapping[str, str]
_ANY: Final = "\0"
"""Stands for what is only known when it runs."""


@cache
def texts(path: Path) -> frozenset[str]:
    """Return every text that a file of tests spells."""
    tree, known = _tree(path), names(path)
    found = {text for node in ast.walk(tree) if (text := _text(node, known)) is not None}
    plain = {text for text in found if _ANY not in text}
    filled = {
        text.replace(_ANY, each) for text in found - plain for each in plain if " " not in each
    }
    return frozenset(plain | filled | {*known.values()})


@cache
def names(path: Path) -> Known:
    """Return the names at the top of a file that stand for a text."""
    known: dict[str, str] = {}
    for node in _tree(path).body:
        known |= {name: text for name, value in _pairs(node) if (text := _text(value, known))}
        if isinstance(node, ast.ImportFrom) and (other := _file(node.module)) is not None:
            theirs = names(other)
            known |= {one.name: theirs[one.name] for one in node.names if one.name in theirs}
    return known


@cache
def _tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def _file(module: str | None) -> Path | None:
    """Return the file of a module of the tests; None for any other."""
    package, _, name = (module or "").partition(".")
    path = TESTS / f"{name.replace('.', '/')}.py"
    return path if package == TESTS.name and path.is_file() else None


def _pairs(node: ast.stmt) -> Iterator[tuple[str, ast.expr]]:
    """Yield the names that a statement gives, and what to."""
    match node:
        case ast.Assign(targets=[ast.Tuple(elts=targets)], value=ast.Tuple(elts=values)):
            found = zip(targets, values, strict=False)
        case ast.Assign(targets=[target], value=value) | ast.AnnAssign(target=target, value=value):
            found = zip([target], [value], strict=True)
        case _:
            return
    yield from ((each.id, value) for each, value in found if isinstance(each, ast.Name) and value)


def _text(node: ast.AST, known: Known) -> str | None:
    match node:
        case ast.Constant(value=str(text)):
            return text
        case ast.Name(id=name):
            return known.get(name)
        case ast.JoinedStr(values=parts):
            return "".join(_part(part, known) for part in parts)
        case ast.BinOp(left=left, op=ast.Add(), right=right):
            both = _text(left, known), _text(right, known)
            return None if both[0] is None or both[1] is None else both[0] + both[1]
    return None


def _part(node: ast.expr, known: Known) -> str:
    value = node.value if isinstance(node, ast.FormattedValue) else node
    text = _text(value, known) if isinstance(value, ast.AST) else None
    return _ANY if text is None else text
