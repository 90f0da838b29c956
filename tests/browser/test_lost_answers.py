"""A decision whose answer never came back: it counted, and whoever made it is told so."""

import pytest
from playwright.sync_api import Page, Route, expect

from tests.browser.bed import Bed, Person
from tests.browser.conftest import Visit

NOTHING_STORED = "() => Object.keys(sessionStorage).length === 0"


def lose(route: Route) -> None:
    """Let the request through, and its answer never come back."""
    route.fetch()
    route.abort()


def approve(page: Page, why: str) -> None:
    page.get_by_test_id("verb-approve").click()
    page.get_by_test_id("decision-form").locator("[name=why]").fill(why)
    page.get_by_test_id("send").click()


def see_it_counted(page: Page) -> None:
    expect(page.get_by_test_id("after")).to_contain_text("You approved this.")
    expect(page.get_by_test_id("after")).not_to_contain_text("changed nothing")
    page.wait_for_function(NOTHING_STORED)


def test_whoever_hears_of_their_own_decision_is_not_told_that_another_was_first(
    visit: Visit, bed: Bed, ada: Person, tenant: str
) -> None:
    """DESIGN: "First decision wins"; it was this one, though only the event says so."""
    page = visit(ada, f"desk/{bed.escalated(tenant)}")
    page.route("**/decision", lose)
    approve(page, "good enough")
    see_it_counted(page)


def test_a_decision_sent_again_after_a_lost_answer_is_the_same_decision(
    visit: Visit, bed: Bed, ada: Person, tenant: str
) -> None:
    """DESIGN: what is sent twice is as if once; nothing typed is lost meanwhile."""
    letter = bed.escalated(tenant)
    page = visit(ada)
    page.context.route("**/v1/events", lambda route: route.abort())
    page.goto(f"/desk/{letter}")
    page.route("**/decision", lose)
    approve(page, "good enough")
    form = page.get_by_test_id("decision-form")
    expect(form).to_contain_text("Not sent yet")
    expect(form.locator("[name=why]")).to_have_value("good enough")
    page.unroute("**/decision")
    page.get_by_role("button", name="Try again").click()
    see_it_counted(page)


@pytest.mark.parametrize("why", ["", "so be it"])
def test_whoever_was_really_late_is_told_so(
    visit: Visit, bed: Bed, ada: Person, tenant: str, why: str
) -> None:
    """The issue: "the second gets told who was first", though both said the same."""
    letter = bed.escalated(tenant)
    page = visit(ada)
    page.context.route("**/v1/events", lambda route: route.abort())
    page.goto(f"/desk/{letter}")
    page.get_by_test_id("verb-approve").click()
    page.get_by_test_id("decision-form").locator("[name=why]").fill(why)
    bed.decide(letter, "approve", why=why)
    page.get_by_test_id("send").click()
    expect(page.get_by_test_id("after")).to_contain_text("someone was first")


def test_another_answer_by_the_same_name_is_told_that_it_changed_nothing(
    visit: Visit, bed: Bed, ada: Person, tenant: str
) -> None:
    """The issue: "the second gets told who was first"; what was typed is not thrown away."""
    letter = bed.letter_of(bed.submit(tenant, input={"asks": "which year?"}))
    page = visit(ada)
    page.context.route("**/v1/events", lambda route: route.abort())
    page.goto(f"/desk/{letter}")
    page.get_by_test_id("decision-form").locator("[name=answer]").fill("2026")
    assert bed.decide(letter, "answer", by=ada.name, answer="2025")
    page.get_by_test_id("send").click()
    expect(page.get_by_test_id("after")).to_contain_text(f"{ada.name} was first")
    expect(page.get_by_test_id("after")).to_contain_text("changed nothing. You had typed:2026")
