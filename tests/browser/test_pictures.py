"""The pictures in docs/screenshots, made of a real deployment.

They are taken at every run, so that what they show is known to be there, and written only when
asked:

    BUCKSTOP_SCREENSHOTS=1 make browser PYTEST_ARGS="-k pictures"
"""

import os
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import Visit
from tests.browser.scenery import Scenery

FOLDER = Path(__file__).parents[2] / "docs" / "screenshots"
BYTES_MAX = 200_000
"""A repository keeps every version of a picture for good."""
LOOKS = {
    "light": {"color_scheme": "light", "viewport": {"width": 1200, "height": 750}},
    "dark": {"color_scheme": "dark", "viewport": {"width": 1200, "height": 750}},
    "phone": {
        "color_scheme": "light",
        "viewport": {"width": 390, "height": 844},
        "device_scale_factor": 1.5,
        "has_touch": True,
        "is_mobile": True,
    },
}


def pages(scenery: Scenery) -> dict[str, str]:
    return {
        "tasks": "tasks",
        "task": f"tasks/{scenery.done}",
        "desk": "desk",
        "letter": f"desk/{scenery.letter}",
        "agents": "agents",
        "budget": "budget",
    }


def settled(page: Page) -> None:
    """Wait until all of a page is there: its figures, its font, its live connection."""
    expect(page.get_by_role("heading").first).to_be_visible()
    expect(page.get_by_role("status", name="Loading")).to_have_count(0)
    expect(page.get_by_role("banner")).to_contain_text("Live")
    page.evaluate("document.fonts.ready.then(() => true)")


@pytest.mark.parametrize("look", LOOKS)
def test_pictures_of_every_page(visit: Visit, scenery: Scenery, look: str) -> None:
    """The issue: "Screenshots in docs/ made by the test"."""
    page = visit(scenery.person, at=scenery.bed, **LOOKS[look])
    for name, path in pages(scenery).items():
        page.goto(f"/{path}")
        settled(page)
        picture = page.screenshot()
        assert len(picture) < BYTES_MAX
        if os.environ.get("BUCKSTOP_SCREENSHOTS"):
            FOLDER.mkdir(exist_ok=True)
            (FOLDER / f"{name}-{look}.png").write_bytes(picture)
