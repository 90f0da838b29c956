"""What MkDocs does besides, while it builds the site: add the pages that are written from the code.

A page of the reference is never a file that somebody edits: it is made while the site is built
(reference.py), so it says what the code says. Who reads the pages as files, on a code host, has no
such page, so they link to what it is written from; here that becomes a link to the page. Another
link that leaves docs/ has no page to lead to; it becomes the path that a reader finds in the
repository. And commands lose their `$ `, so that what the copy button takes can be pasted as it is.
"""

import re
from pathlib import PurePosixPath
from typing import Any, Final

import reference
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT_PAGES: Final = {
    "readme.md": "README.md",
    "architecture.md": "ARCHITECTURE.md",
    "changelog.md": "CHANGELOG.md",
}
"""Pages of the site that stand at the top of the repository."""
WRITTEN_FROM: Final = {
    "reference/cli.md": "orchestrator/cli/commands.py",
    "reference/journal.md": "orchestrator/http/console/lib/whys.js",
    "reference/limits.md": "envelopes/limits.py",
    "reference/python.md": "orchestrator/client.py",
}
"""Pages of the reference that others link to, by the file that says the same in the repository."""
_PAGE_OF: Final = {file: page for page, file in (ROOT_PAGES | WRITTEN_FROM).items()}
_LINK: Final = re.compile(r"(?<!!)\[([^\]]+)\]\(((?:\.\./)+[^)#\s]+)(#[^)\s]*)?\)")
_ROOT_LINK: Final = re.compile(r"\[([^\]]+)\]\((?!http)([^)#\s]+)(#[^)\s]*)?\)")
_CONSOLE: Final = re.compile(r"```console\n(.*?)```\n", re.DOTALL)
_MERMAID: Final = re.compile(r"```mermaid\n.*?```\n", re.DOTALL)


def on_files(files: Files, config: MkDocsConfig, **_: Any) -> Files:
    """Add the pages that are written from the code."""
    for path, text in reference.pages().items():
        files.append(File.generated(config, path, content=text))
    for path, name in ROOT_PAGES.items():
        files.append(File.generated(config, path, content=_root_page(name)))
    return files


def on_page_markdown(markdown: str, page: Page, **_: Any) -> str:
    """Let links that leave docs/ be paths of the repository, and commands be copied."""
    linked = _LINK.sub(lambda found: _inside(found, page), markdown)
    return _CONSOLE.sub(lambda found: _copied(found[1]), linked)


def _copied(text: str) -> str:
    """Write a block of commands without their prompts; one that shows output stays as it is."""
    commands = text.replace("\\\n", "").splitlines()
    if not all(line.startswith("$ ") for line in commands):
        return f"```console\n{text}```\n"
    return f"```sh\n{re.sub('^[$] ', '', text, flags=re.MULTILINE)}```\n"


def _inside(found: re.Match[str], page: Page) -> str:
    """Return a link as it is, unless it leaves docs/."""
    text, target, anchor = found[1], found[2], found[3] or ""
    ups, depth = target.count("../"), len(PurePosixPath(page.file.src_uri).parts) - 1
    if ups <= depth:
        return found[0]
    name = target.removeprefix("../" * ups)
    if name in _PAGE_OF:
        return f"[{text}]({'../' * depth}{_PAGE_OF[name]}{anchor})"
    return _named(text, name)


def _root_page(name: str) -> str:
    """Read a page of the repository's top. Its pictures are tables here, in the reference."""
    text = (reference.ROOT / name).read_text(encoding="utf-8")
    text = _MERMAID.sub("See [the states](reference/states.md).\n", text)
    return _ROOT_LINK.sub(_from_the_top, text)


def _from_the_top(found: re.Match[str]) -> str:
    """Return a link of such a page as it is on the site."""
    text, target, anchor = found[1], found[2], found[3] or ""
    own = _PAGE_OF.get(target)
    inside = target.removeprefix("docs/")
    if own is None and (inside == target or not PurePosixPath(target).suffix):
        return _named(text, target)
    return f"[{text}]({own or inside}{anchor})"


def _named(text: str, path: str) -> str:
    """Name what is in the repository and not on the site."""
    return text if text.strip("`") == path else f"{text} (`{path}`)"
