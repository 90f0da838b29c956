"""The console's files, as they are: there is no build step.

All are read when the app starts and sent from memory, so a path is looked up and never opened:
nothing outside the folder can be reached. Browsers ask each time and are told mostly that nothing
has changed (ETag), so that a new version is there at the next click.

A page of modules is slow on a slow line, for each names the next ones only once it is there. So the
page names all of them in front (modulepreload), and what is text is sent packed.
"""

import gzip
import mimetypes
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Final

from fastapi import APIRouter, Request, Response

from orchestrator.http.problems import Problem

FOLDER: Final = Path(__file__).parent / "console"
PAGES: Final = ("/", "/tasks", "/tasks/{id}", "/desk", "/desk/{id}", "/agents", "/budget", "/login")
"""Paths of the console itself: one page, which draws what its path says."""
_INDEX: Final = "index.html"
_MODULE: Final = b'<script type="module"'
"""Before it stand the links to all modules."""
_CLASSIC: Final = {"again.js", "theme.js"}
"""Scripts that are no modules, and named in the page by themselves."""
_TYPES: Final[Mapping[str, str]] = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml",
    ".png": "image/png",
    ".woff2": "font/woff2",
    ".txt": "text/plain; charset=utf-8",
    ".json": "application/json",
}


@dataclass(frozen=True, slots=True)
class File:
    """One file, ready to be sent."""

    content: bytes
    type: str
    etag: str
    packed: bytes
    """The same for browsers that unpack it; empty where that makes it no smaller."""

    @classmethod
    def of(cls, name: str, content: bytes) -> "File":
        """Make one of its content."""
        guessed = mimetypes.guess_type(name)[0] or "application/octet-stream"
        etag = f'"{sha256(content).hexdigest()[:32]}"'
        packed = gzip.compress(content, mtime=0)
        smaller = packed if len(packed) < len(content) else b""
        return cls(content, _TYPES.get(Path(name).suffix, guessed), etag, smaller)

    def answer(self, request: Request) -> Response:
        """Send it, or say that the browser has it."""
        headers = {"ETag": self.etag, "Cache-Control": "no-cache", "Vary": "Accept-Encoding"}
        content = self.content
        if self.packed and "gzip" in request.headers.get("Accept-Encoding", ""):
            content = self.packed
            headers |= {"ETag": f'{self.etag[:-1]}-gzip"', "Content-Encoding": "gzip"}
        known = [each.strip() for each in request.headers.get("If-None-Match", "").split(",")]
        if headers["ETag"] in known:
            return Response(status_code=304, headers=headers)
        return Response(content, media_type=self.type, headers=headers)


def _read(folder: Path) -> dict[str, File]:
    """Read all of a folder; its page names every module in front."""
    paths = sorted(each for each in folder.rglob("*") if each.is_file())
    contents = {each.relative_to(folder).as_posix(): each.read_bytes() for each in paths}
    if page := contents.get(_INDEX):
        contents[_INDEX] = page.replace(_MODULE, _links(contents) + _MODULE)
    return {name: File.of(name, content) for name, content in contents.items()}


def _links(names: Iterable[str]) -> bytes:
    modules = (each for each in names if each.endswith(".js") and each not in _CLASSIC)
    links = (f'<link rel="modulepreload" href="/console/{each}">' for each in modules)
    return "\n    ".join((*links, "")).encode()


def routes(folder: Path = FOLDER) -> APIRouter:
    """Serve a folder's files under /console/, and its index.html at the console's own paths."""
    files = _read(folder)
    router = APIRouter(include_in_schema=False)

    def found(name: str, request: Request) -> Response:
        if name not in files:
            raise Problem("not-found", "the console has no such file")
        return files[name].answer(request)

    async def page(request: Request) -> Response:
        return found(_INDEX, request)

    async def file(name: str, request: Request) -> Response:
        return found(name, request)

    for path in PAGES:
        router.add_api_route(path, page, methods=["GET", "HEAD"])
    router.add_api_route("/console/{name:path}", file, methods=["GET", "HEAD"])
    return router
