"""The budget page: figures that are the ledgers' own, and that everybody can read."""

import re
import time
from datetime import UTC, datetime

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.browser.bed import WITHIN_S, Bed, Person
from tests.browser.conftest import Visit

DAY_S = 24 * 3600
DAYS_END_S = 120


@pytest.fixture(autouse=True)
def _day() -> None:
    """Begin behind midnight what might not end before it: all figures are those of a day."""
    left_s = DAY_S - time.time() % DAY_S
    if left_s < DAYS_END_S:
        time.sleep(left_s)


def headline(page: Page, word: str) -> Locator:
    return page.locator(".headline > div").filter(has_text=word).locator("strong")


def spend_on(bed: Bed, days_ago: int, row: str, tokens: int) -> None:
    """Write a row, tenant|agent|model, into the books of a day that is over."""
    day = int(datetime.now(UTC).timestamp()) // DAY_S - days_ago
    bed.client.hset(bed.keys.spend(day), row, f"{tokens} {tokens * 2} 3 2 1 0")


def test_a_tenant_that_has_spent_nothing_is_told_so(visit: Visit, ada: Person) -> None:
    """The issue: "empty, loading and error states"."""
    page = visit(ada, "budget")
    expect(page.get_by_role("heading", name="Nothing was spent")).to_be_visible()


def test_what_tasks_have_spent_is_on_the_page_as_it_is_booked(
    visit: Visit, bed: Bed, ada: Person, tenant: str
) -> None:
    """The issue: "budget page (spend by tenant, agent, model, day)"; live, by the ledgers."""
    page = visit(ada, "budget")
    expect(page.get_by_role("heading", name="Nothing was spent")).to_be_visible()
    first = bed.submit(tenant, agent="write", input={"costs": 1200}).wait(WITHIN_S)
    expect(headline(page, "Today")).to_have_text("1,200")
    second = bed.submit(tenant, agent="research", input={"costs": 800}).wait(WITHIN_S)
    expect(headline(page, "Today")).to_have_text("2,000")
    assert first.ledger.spent.tokens + second.ledger.spent.tokens == 2000
    table = page.get_by_role("table", name="Spend by agent")
    expect(table.get_by_role("row", name=re.compile("^write"))).to_contain_text("60 %")
    expect(table.get_by_role("row", name=re.compile("^Total"))).to_contain_text("2,000")


def test_the_choice_of_what_is_shown_stands_in_the_address(
    visit: Visit, bed: Bed, ada: Person, tenant: str
) -> None:
    """A view can be bookmarked; switching it asks the server for nothing but another period."""
    for days_ago, tokens in ((0, 100), (1, 400), (20, 1000), (60, 5000)):
        spend_on(bed, days_ago, f"{tenant}|write|gpt-5-mini", tokens)
    page = visit(ada, "budget?days=7")
    expect(headline(page, "These 7 days")).to_have_text("500")
    expect(page.locator(".headline")).to_contain_text("25 % of yesterday so far")
    page.get_by_role("button", name="30 days").click()
    expect(headline(page, "These 30 days")).to_have_text("1,500")
    page.get_by_role("button", name="90 days").click()
    page.get_by_role("button", name="Calls").click()
    page.get_by_role("button", name="By model").click()
    expect(headline(page, "These 90 days")).to_have_text("12")
    expect(page).to_have_url(re.compile(r"days=90&unit=calls&by=model"))
    page.reload()
    expect(headline(page, "These 90 days")).to_have_text("12")
    expect(page.get_by_role("table", name="Spend by model")).to_contain_text("gpt-5-mini")
    page.get_by_role("button", name="Dollars").click()
    expect(headline(page, "These 90 days")).to_have_text("$0.013")


def test_the_chart_is_read_with_the_keyboard_and_by_a_screen_reader(
    visit: Visit, bed: Bed, ada: Person, tenant: str
) -> None:
    """The issue: "WCAG AA ... and keyboard"; the chart is a slider over the days."""
    spend_on(bed, 0, f"{tenant}|write|gpt-5-mini", 100)
    spend_on(bed, 2, f"{tenant}|write|gpt-5-mini", 400)
    spend_on(bed, 2, f"{tenant}|review|", 250)
    page = visit(ada, "budget?days=7")
    chart = page.get_by_role("slider", name="tokens a day by agent: choose a day")
    chart.focus()
    expect(chart).to_have_attribute("aria-valuetext", re.compile(": 100 tokens, write 100 tokens"))
    page.keyboard.press("ArrowLeft")
    expect(chart).to_have_attribute("aria-valuetext", re.compile(": 0 tokens$"))
    page.keyboard.press("ArrowLeft")
    expect(page.locator(".chart-total strong")).to_have_text("650 tokens")
    said = chart.get_attribute("aria-valuetext")
    assert said is not None
    assert said.endswith("650 tokens, write 400 tokens, review 250 tokens")


def test_parts_of_a_column_differ_by_more_than_colour(
    visit: Visit, bed: Bed, ada: Person, tenant: str
) -> None:
    """WCAG 1.4.1: colour is never the only means; the eighth agent goes with "all others"."""
    for nth in range(9):
        spend_on(bed, 0, f"{tenant}|agent-{nth}|gpt-5-mini", 1000 - nth)
    page = visit(ada, "budget?days=7")
    legend = page.locator(".chart-legend li")
    expect(legend).to_have_count(7)
    expect(legend.last).to_contain_text("all others")
    marks = page.locator(".chart-legend pattern").evaluate_all("all => all.map(p => p.innerHTML)")
    assert len(set(marks)) == len(marks) == 7
