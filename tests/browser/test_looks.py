"""Every page in light, dark and small: nothing for axe to find, and nothing that sticks out."""

import re

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

from tests.browser.conftest import Visit
from tests.browser.eyes import sideways
from tests.browser.scenery import Scenery

SMALL = [{"width": 390, "height": 844}, {"width": 320, "height": 568}]


def settled(page: Page, path: str) -> None:
    page.goto(f"/{path}")
    expect(page.get_by_role("heading").first).to_be_visible()
    expect(page.get_by_role("status", name="Loading")).to_have_count(0)


def faults(page: Page) -> list[str]:
    """Return what axe finds: rules of WCAG 2.2 AA and its own good advice."""
    found = Axe().run(page).response["violations"]
    return [f"{page.url}: {v['id']}: {n['target']} {n['html']}" for v in found for n in v["nodes"]]


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_axe_finds_nothing_on_any_page(visit: Visit, scenery: Scenery, theme: str) -> None:
    """The issue: "WCAG AA contrast and keyboard"; box: zero violations."""
    page = visit(scenery.person, at=scenery.bed, color_scheme=theme)
    found: list[str] = []
    for path in scenery.paths:
        settled(page, path)
        found += faults(page)
    settled(page, f"desk/{scenery.letter}")
    page.get_by_test_id("verb-amend").click()
    found += faults(page)
    settled(page, "tasks")
    page.get_by_role("button", name="New task").click()
    found += faults(page)
    page.keyboard.press("Escape")
    page.keyboard.press("?")
    found += faults(page)
    page.keyboard.press("Escape")
    page.get_by_role("button", name="Log out").click()
    expect(page.get_by_label("Token", exact=True)).to_be_visible()
    found += faults(page)
    assert found == []


@pytest.mark.parametrize("size", SMALL, ids=["phone", "smallest"])
def test_no_page_is_wider_than_a_phone(
    visit: Visit, scenery: Scenery, size: dict[str, int]
) -> None:
    """The issue: "Works on a phone"; WCAG 1.4.10: nothing scrolls sideways at 320 pixels."""
    page = visit(scenery.person, at=scenery.bed, viewport=size, has_touch=True, is_mobile=True)
    wide = []
    for path in scenery.paths:
        settled(page, path)
        page.locator("main details").evaluate_all("all => all.forEach(each => each.open = true)")
        if by := max(0, sideways(page)):
            wide.append((path, by))
    assert wide == []


def test_what_is_touched_is_large_enough(visit: Visit, scenery: Scenery) -> None:
    """WCAG 2.5.8: what is touched is at least 24 pixels wide and high, or stands in a sentence."""
    page = visit(scenery.person, at=scenery.bed, viewport=SMALL[0], has_touch=True, is_mobile=True)
    small = """all => all.filter(each => {
        const box = each.getBoundingClientRect();
        const small = box.width && (box.width < 24 || box.height < 24);
        return small && !each.closest('p, li, td, dd, span');
    }).map(each => each.outerHTML.slice(0, 100))"""
    for path in scenery.paths:
        settled(page, path)
        assert (
            page.locator("button, select, input:not([type=radio]), .verb").evaluate_all(small) == []
        )


def test_a_theme_that_was_chosen_stays(visit: Visit, scenery: Scenery) -> None:
    """The issue: "light and dark"; a choice outlives a reload and does not flash."""
    page = visit(scenery.person, "tasks", at=scenery.bed, color_scheme="light")
    background = "getComputedStyle(document.body).backgroundColor"
    bright = page.evaluate(background)
    button = page.get_by_role("button", name=re.compile("^Theme"))
    button.click()
    button.click()
    expect(page.locator("html")).to_have_attribute("data-theme", "dark")
    page.reload()
    expect(page.locator("html")).to_have_attribute("data-theme", "dark")
    assert page.evaluate(background) != bright
