"""One deployment and one Chromium for all of the browser's tests; each test has its own tenant.

A tenant of its own means that a test sees its own tasks and letters only, in an order that no other
test can disturb. Playwright waits on conditions; nothing here sleeps.
"""

import shutil
from collections.abc import Callable, Iterator
from typing import Any
from uuid import uuid4

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from tests.browser.bed import Bed, Person
from tests.browser.eyes import Eyes
from tests.browser.scenery import Scenery, put_up

PATIENCE_MS = 60_000
"""How long a condition may take on a machine that is busy with other things."""
_NO_CHROMIUM = (
    "these tests look at the console in a real browser, and there is no Chromium on PATH; "
    "get one with: apt install chromium"
)

Visit = Callable[..., Page]


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    """Start the machine's own Chromium; without one nothing here can be tested, so say so."""
    found = shutil.which("chromium") or shutil.which("chromium-browser")
    if found is None:
        pytest.exit(_NO_CHROMIUM, returncode=1)
    expect.set_options(timeout=PATIENCE_MS)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, timeout=2 * PATIENCE_MS)
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def bed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bed]:
    """Run a whole deployment."""
    running = Bed(tmp_path_factory.mktemp("bed"))
    yield running
    running.stop()


@pytest.fixture(scope="session")
def scenery(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scenery]:
    """Run a second deployment, with something of everything and with nothing of other tests."""
    running = Bed(tmp_path_factory.mktemp("scenery"))
    yield put_up(running)
    running.stop()


@pytest.fixture
def tenant() -> str:
    """Name a tenant that no other test uses."""
    return f"t{uuid4().hex[:8]}"


@pytest.fixture
def ada(bed: Bed, tenant: str) -> Person:
    """Let in somebody who may do everything, for this test's tenant."""
    return bed.person("ada", tenant=tenant)


@pytest.fixture
def eyes() -> Iterator[Eyes]:
    """Watch all pages of a test, and fail it for what no page may do."""
    watching = Eyes()
    yield watching
    assert watching.seen == []


@pytest.fixture
def visit(chromium: Browser, bed: Bed, eyes: Eyes) -> Iterator[Visit]:
    """Open the console in a browser of its own, as somebody or as nobody yet."""
    contexts = []

    def open_page(person: Person | None, path: str = "", *, at: Bed = bed, **options: Any) -> Page:
        eyes.homes.add(at.url)
        context = chromium.new_context(base_url=at.url, reduced_motion="reduce", **options)
        contexts.append(context)
        context.set_default_timeout(PATIENCE_MS)
        eyes.watch(context)
        if person is not None:
            log_in(context.request, at, person)
        page = context.new_page()
        page.goto(f"/{path}")
        return page

    yield open_page
    for context in contexts:
        context.close()


def log_in(request: Any, bed: Bed, person: Person) -> None:
    """Log somebody in without the form, which has tests of its own."""
    said = request.post("/session", data={"token": person.token}, headers={"Origin": bed.url})
    assert said.ok, said.text()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give a test that starts a deployment and a browser the time for it."""
    for item in items:
        item.add_marker(pytest.mark.timeout(400))
