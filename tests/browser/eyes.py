"""Watch what pages do that no page may do, whatever a test is about.

A dialog, an error in a script, a breach of the content security policy, a window that opens by
itself, a request to somebody else, an answer of 500: each is noted, and fails the test in which it
happened.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager

from playwright.sync_api import (
    BrowserContext,
    ConsoleMessage,
    Dialog,
    Page,
    Request,
    Response,
)

BREACHES = """addEventListener('securitypolicyviolation', breach => console.error(
    'content security policy: ' + breach.violatedDirective + ' ' + breach.blockedURI));"""
MARKER = "console.error('owned')"
"""What hostile text tries to run; where it does, it is seen here."""
_SEEN_OTHERWISE = re.compile(r"^Failed to load resource")
"""Chromium's line about an answer that is no success; responses are looked at themselves."""


class Eyes:
    """What was seen on some pages that should not be."""

    def __init__(self) -> None:
        self.homes: set[str] = set()
        """Where our pages are; what a stranger's page does is its own affair."""
        self.seen: list[str] = []
        self._forgiven: set[int] = set()

    def forgive(self, *statuses: int) -> None:
        """Expect these answers: the test itself takes away what would be needed for others."""
        self._forgiven |= set(statuses)

    def watch(self, context: BrowserContext) -> None:
        """Watch every page of a context, from before its first line is run."""
        context.add_init_script(BREACHES)
        context.on("dialog", self._dialog)
        context.on("weberror", lambda error: self.seen.append(f"script error: {error.error}"))
        context.on("console", self._console)
        context.on("response", self._response)
        context.on("request", self._request)
        context.on("page", self._page)

    def _dialog(self, dialog: Dialog) -> None:
        self.seen.append(f"dialog: {dialog.message}")
        dialog.dismiss()

    def _console(self, message: ConsoleMessage) -> None:
        ours = message.page is not None and message.page.url.startswith(tuple(self.homes))
        if ours and message.type == "error" and not _SEEN_OTHERWISE.match(message.text):
            self.seen.append(f"console: {message.text}")

    def _response(self, response: Response) -> None:
        if response.status >= 500 and response.status not in self._forgiven:
            self.seen.append(f"{response.status} from {response.url}")

    def _request(self, request: Request) -> None:
        ours = request.is_navigation_request() or request.url.startswith((*self.homes, "data:"))
        if not ours:
            self.seen.append(f"asked somebody else: {request.url}")

    def _page(self, page: Page) -> None:
        page.on("popup", lambda popup: self.seen.append(f"window opened: {popup.url}"))


@contextmanager
def without_reload(page: Page) -> Iterator[None]:
    """See that a page lives through all that happens meanwhile."""
    page.evaluate("window.since = 'the beginning'")
    yield
    assert page.evaluate("window.since") == "the beginning"


def sideways(page: Page) -> int:
    """Return by how many pixels a page is wider than its window."""
    size = page.viewport_size
    assert size is not None
    return int(page.evaluate("document.documentElement.scrollWidth")) - size["width"]
