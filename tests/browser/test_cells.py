"""One console in front of several cells, while one of them dies and comes back."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, expect

from tests.browser.eyes import Eyes
from tests.several import TASK, TENANTS, Several, orchestrated, served, work


@pytest.fixture
def several(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Several]:
    several = Several(tmp_path_factory.mktemp("cells"))
    several.add("east")
    several.add("west")
    yield several
    several.stop()


def test_the_console_shows_all_cells_and_says_which_is_away(
    chromium: Browser, eyes: Eyes, several: Several
) -> None:
    """docs/how-to/cells.md: "One API and one console in front of both"."""
    with served(several) as caller, orchestrated(several, "east", "west"):
        for cell, tenant in TENANTS.items():
            task = {**TASK, "goal": f"Greet the {cell}", "tenant": tenant}
            assert caller.post("/v1/tasks", json=task).is_success
            work(several, cell)
        url = str(caller.base_url)
        eyes.homes.add(url.rstrip("/"))
        context = chromium.new_context(base_url=url, reduced_motion="reduce")
        eyes.watch(context)
        token = caller.headers["Authorization"].removeprefix("Bearer ")
        said = context.request.post(
            "/session", data={"token": token}, headers={"Origin": url.rstrip("/")}
        )
        assert said.ok, said.text()
        page = context.new_page()
        page.goto("/tasks")
        rows = page.get_by_role("row")
        expect(rows.filter(has_text="Greet the west")).to_contain_text("in west")
        expect(rows.filter(has_text="Greet the east")).to_contain_text("in east")
        page.get_by_label("Cell").select_option("west")
        expect(rows.filter(has_text="Greet the east")).to_have_count(0)
        expect(rows.filter(has_text="Greet the west")).to_be_visible()
        page.get_by_label("Cell").select_option("")
        expect(rows.filter(has_text="Greet the east")).to_be_visible()
        top = page.get_by_role("banner")
        expect(top).to_contain_text("Live")
        several.servers["west"].kill()
        expect(top).to_contain_text("Cell west is away")
        page.reload()
        expect(rows.filter(has_text="Greet the east")).to_be_visible()
        expect(rows.filter(has_text="Greet the west")).to_have_count(0)
        expect(top).to_contain_text("Cell west is away")
        several.servers["west"].restart()
        expect(top).to_contain_text("Live")
        expect(rows.filter(has_text="Greet the west")).to_be_visible()
        context.close()
