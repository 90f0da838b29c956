"""What a page that stays open does while the server behind it dies and comes back."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, expect

from tests.browser.bed import WITHIN_S, Bed, Person
from tests.browser.conftest import Visit
from tests.browser.eyes import Eyes, without_reload
from tests.until import until


@pytest.fixture(autouse=True)
def _whole_again(bed: Bed) -> Iterator[None]:
    """Leave the deployment as it was, also where a test ends early."""
    yield
    if not bed.server.alive:
        bed.server.restart()
    if "http-1" not in bed.running:
        bed.http()
    until("the page is served", bed.serves)


def line(page: Page, says: str) -> None:
    """See what the line on top of every page says about the connection."""
    expect(page.get_by_role("banner")).to_contain_text(says)


def test_a_page_lives_through_a_kill_of_the_app_and_shows_what_happened_meanwhile(
    visit: Visit, bed: Bed, ada: Person, tenant: str
) -> None:
    """The issue: "server restart while the page is open (it recovers by itself)"."""
    bed.submit(tenant, goal="Before").wait(WITHIN_S)
    page = visit(ada, "tasks")
    expect(page.get_by_role("row").filter(has_text="Before")).to_contain_text("completed")
    line(page, "Live")
    with without_reload(page):
        bed.cut("http-1")
        line(page, "Reconnecting")
        bed.submit(tenant, goal="Meanwhile").wait(WITHIN_S)
        letter = bed.escalated(tenant)
        bed.http()
        line(page, "Live")
        expect(page.get_by_role("row").filter(has_text="Meanwhile")).to_contain_text("completed")
        expect(page.get_by_role("link", name="Desk")).to_contain_text("1")
        page.get_by_role("link", name="Desk").click()
        expect(page.get_by_test_id("queue-row")).to_have_attribute("data-letter", letter)
        bed.submit(tenant, goal="Afterwards").wait(WITHIN_S)
        page.get_by_role("link", name="Tasks").click()
        expect(page.get_by_role("row").filter(has_text="Afterwards")).to_be_visible()


def test_a_task_that_is_watched_goes_on_where_its_stream_broke(
    visit: Visit, bed: Bed, ada: Person, tenant: str
) -> None:
    """docs/HTTP.md: "no line is missed or told twice"."""
    gate = bed.gates / tenant
    task = bed.submit(tenant, input={"waits": str(gate)})
    page = visit(ada, f"tasks/{task.id}")
    expect(page.locator(".standing .badge")).to_have_text("working")
    with without_reload(page):
        bed.cut("http-1")
        line(page, "Reconnecting")
        gate.touch()
        task.wait(WITHIN_S)
        bed.http()
        expect(page.locator(".standing .badge")).to_have_text("completed")
        lines = page.get_by_role("region", name="Timeline").locator("li.line")
        expect(lines).to_have_count(len(bed.buckstop.store.journal(task.id)))


def test_a_half_written_decision_outlives_a_kill_of_the_store(
    visit: Visit, bed: Bed, ada: Person, tenant: str, eyes: Eyes
) -> None:
    """The issue: "it recovers by itself": Redis is killed under a form."""
    eyes.forgive(503, 504)
    letter = bed.escalated(tenant)
    page = visit(ada, f"desk/{letter}")
    line(page, "Live")
    page.get_by_test_id("verb-approve").click()
    page.get_by_test_id("decision-form").locator("[name=why]").fill("Half a sentence")
    with without_reload(page):
        bed.server.kill()
        line(page, "away")
        page.get_by_test_id("send").click()
        expect(page.get_by_role("alert").first).to_be_visible()
        why = page.get_by_test_id("decision-form").locator("[name=why]")
        expect(why).to_have_value("Half a sentence")
        bed.server.restart()
        line(page, "Live")
        why.fill("A whole sentence")
        page.get_by_test_id("send").click()
        expect(page.get_by_test_id("after")).to_contain_text("You approved this.")
    assert bed.buckstop.letter(letter)["decided_why"] == "A whole sentence"


@pytest.mark.parametrize("lost", ["**/console/lib/live.js", "**/console/style.css"])
def test_a_page_of_which_a_file_is_lost_on_the_way_is_loaded_again(
    visit: Visit, ada: Person, lost: str
) -> None:
    """The issue: "it recovers by itself": also where the server went while the page was loading."""
    page = visit(ada)
    loads: list[Page] = []
    page.on("load", lambda loaded: loads.append(loaded))  # noqa: PLW0108 - Playwright marks it
    page.route(lost, lambda route: route.continue_() if loads else route.abort())
    with page.expect_event("load", lambda _: len(loads) == 2):
        page.goto("/tasks")
    expect(page.get_by_role("heading", name="Tasks", level=1)).to_be_visible()
    line(page, "Live")


def test_the_list_heals_after_a_kill_of_the_store(
    visit: Visit, bed: Bed, ada: Person, tenant: str, eyes: Eyes
) -> None:
    """The issue: "it recovers by itself"; what was accepted before the kill is still there."""
    eyes.forgive(503, 504)
    bed.submit(tenant, goal="Before").wait(WITHIN_S)
    page = visit(ada, "tasks")
    line(page, "Live")
    with without_reload(page):
        bed.server.kill()
        line(page, "away")
        bed.server.restart()
        line(page, "Live")
        bed.submit(tenant, goal="Afterwards").wait(WITHIN_S)
        expect(page.get_by_role("row").filter(has_text="Before")).to_contain_text("completed")
        expect(page.get_by_role("row").filter(has_text="Afterwards")).to_contain_text("completed")
