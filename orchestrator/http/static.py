"""The console's files, as they are: there is no build step.

All are read when the app starts and sent from memory, so a path is looked up and never opened:
nothing outside the folder can be reached. Browsers ask each time and are told mostly that nothing
has changed (ETag), so that a new version is there at the next click.
"""

import mimetypes
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Final

from fastapi import APIRouter, Request, Response

from orchestrator.http.problems import Problem

FOLDER: Final = Path(__file__).parent / "console"
PAGES: Final = ("/", "/tasks", "/tasks/{id}", "/desk", "/desk/{id}", "/agents", "/budget", "/login")
"""Paths of the console itself: one page, which draws what its path says."""
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

    @classmethod
    def read(cls, path: Path) -> "File":
        """Read it."""
        content = path.read_bytes()
        guessed = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
        etag = f'"{sha256(content).hexdigest()[:32]}"'
        return cls(content, _TYPES.get(path.suffix, guessed), etag)

    def answer(self, request: Request) -> Response:
        """Send it, or say that the browser has it."""
        headers = {"ETag": self.etag, "Cache-Control": "no-cache"}
        known = [each.strip() for each in request.headers.get("If-None-Match", "").split(",")]
        if self.etag in known:
            return Response(status_code=304, headers=headers)
        return Response(self.content, media_type=self.type, headers=headers)


def routes(folder: Path = FOLDER) -> APIRouter:
    """Serve a folder's files under /console/, and its index.html at the console's own paths."""
    files = {
        path.relative_to(folder).as_posix(): File.read(path)
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
    router = APIRouter(include_in_schema=False)

    def found(name: str, request: Request) -> Response:
        if name not in files:
            raise Problem("not-found", "the console has no such file")
        return files[name].answer(request)

    async def page(request: Request) -> Response:
        return found("index.html", request)

    async def file(name: str, request: Request) -> Response:
        return found(name, request)

    for path in PAGES:
        router.add_api_route(path, page, methods=["GET", "HEAD"])
    router.add_api_route("/console/{name:path}", file, methods=["GET", "HEAD"])
    return router
