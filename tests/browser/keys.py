"""Keys: a page knows its own once it has drawn itself; two that go together come quickly."""

from playwright.sync_api import Locator, Page

from tests.until import until


def drawn(page: Page) -> None:
    """Let the page finish what it draws: its keys are known once it has."""
    page.evaluate("new Promise(done => requestAnimationFrame(() => setTimeout(done)))")


def typed(page: Page, keys: str, leads_to: Locator) -> None:
    """Type keys that lead somewhere; once more where the machine made a pause between them."""

    def is_there() -> bool:
        if not leads_to.is_visible():
            page.keyboard.type(keys)
        return leads_to.is_visible()

    drawn(page)
    until(f"{keys} leads there", is_there, every_s=1)
