"""Without a mouse: from the list of tasks to a decided letter."""

from playwright.sync_api import Page, expect

from tests.browser.bed import Bed, Person
from tests.browser.conftest import Visit
from tests.browser.eyes import without_reload
from tests.browser.keys import drawn, typed

TABS_MAX = 80


def tab_to(page: Page, what: str) -> None:
    """Press Tab until the focus is on what matches."""
    for _ in range(TABS_MAX):
        page.keyboard.press("Tab")
        if page.evaluate("what => document.activeElement.matches(what)", what):
            return
    raise AssertionError(f"{TABS_MAX} times Tab did not lead to {what}")


def test_shortcuts_lead_from_the_list_to_a_decided_letter(
    visit: Visit, bed: Bed, ada: Person, tenant: str
) -> None:
    """The issue: "keyboard shortcuts"; no key decides by itself, the form is sent by Ctrl+Enter."""
    letter = bed.escalated(tenant)
    page = visit(ada, "tasks")
    expect(page.get_by_role("row").nth(1)).to_contain_text("on the desk")
    with without_reload(page):
        drawn(page)
        page.keyboard.press("j")
        page.keyboard.press("Enter")
        expect(page.get_by_text("This task waits for a person.")).to_be_visible()
        drawn(page)
        page.keyboard.press("l")
        expect(page.get_by_test_id("letter")).to_have_attribute("data-letter", letter)
        expect(page.get_by_test_id("verb-approve")).to_be_visible()
        drawn(page)
        page.keyboard.press("a")
        expect(page.get_by_test_id("decision-form").locator("[name=why]")).to_be_focused()
        assert bed.buckstop.letter(letter)["state"] == "open"
        page.keyboard.type("as good as it gets")
        page.keyboard.press("Control+Enter")
        expect(page.get_by_test_id("after")).to_contain_text("You approved this.")
    assert bed.buckstop.letter(letter)["decided_why"] == "as good as it gets"


def test_tab_and_enter_alone_lead_there_too(
    visit: Visit, bed: Bed, ada: Person, tenant: str
) -> None:
    """The issue: "WCAG AA ... keyboard": whoever knows no shortcut gets there as well."""
    letter = bed.escalated(tenant)
    page = visit(ada, "tasks")
    expect(page.get_by_role("row").nth(1)).to_contain_text("on the desk")
    tab_to(page, "table a")
    page.keyboard.press("Enter")
    expect(page.get_by_role("link", name="Decide")).to_be_visible()
    tab_to(page, "a[href^='/desk/']")
    page.keyboard.press("Enter")
    expect(page.get_by_test_id("letter")).to_have_attribute("data-letter", letter)
    tab_to(page, "[data-verb=abort]")
    page.keyboard.press("Enter")
    tab_to(page, "[data-testid=send]")
    page.keyboard.press("Enter")
    expect(page.get_by_test_id("after")).to_contain_text("You aborted this.")


def test_the_focus_is_always_seen(visit: Visit, bed: Bed, ada: Person, tenant: str) -> None:
    """WCAG 2.4.7: every stop of the Tab key has an outline that is not transparent."""
    bed.escalated(tenant)
    page = visit(ada, "desk")
    expect(page.get_by_test_id("queue-row")).to_be_visible()
    outline = """() => { const style = getComputedStyle(document.activeElement);
        return [document.activeElement.outerHTML.slice(0, 80), style.outlineStyle,
                style.outlineWidth, style.boxShadow] }"""
    for _ in range(20):
        page.keyboard.press("Tab")
        what, style, width, shadow = page.evaluate(outline)
        assert what.startswith("<body") or style != "none" or shadow != "none", what
        assert what.startswith("<body") or width != "0px" or shadow != "none", what


def test_the_keys_are_listed_on_a_page_of_their_own(visit: Visit, ada: Person) -> None:
    """A shortcut that nobody can find is none."""
    page = visit(ada, "tasks")
    expect(page.get_by_role("heading", name="Tasks", exact=True)).to_be_visible()
    drawn(page)
    page.keyboard.press("?")
    expect(page.get_by_role("dialog")).to_contain_text("go to Desk")
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_have_count(0)
    budget = page.get_by_role("heading", name="Budget", exact=True)
    typed(page, "gb", budget)
    expect(budget).to_be_focused()
