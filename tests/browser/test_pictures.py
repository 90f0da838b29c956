"""The pictures in docs/screenshots, made of a real deployment.

They are taken at every run, so that what they show is known to be there, and written only when
asked:

    BUCKSTOP_SCREENSHOTS=1 make browser PYTEST_ARGS="-k pictures"      needs pngquant
"""

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import Visit
from tests.browser.scenery import Scenery

FOLDER = Path(__file__).parents[2] / "docs" / "screenshots"
BYTES_MAX = 200_000
"""A repository keeps every version of a picture for good."""
TALL = 1400
"""A task's page is a story that is read downwards."""
LOOKS: dict[str, dict[str, Any]] = {
    "light": {"color_scheme": "light", "viewport": {"width": 1280, "height": 800}},
    "dark": {"color_scheme": "dark", "viewport": {"width": 1280, "height": 800}},
    "phone": {
        "color_scheme": "light",
        "viewport": {"width": 390, "height": 844},
        "device_scale_factor": 1.5,
        "has_touch": True,
        "is_mobile": True,
    },
}


PAGES: dict[str, Callable[[Scenery], str]] = {
    "tasks": lambda _: "tasks",
    "task": lambda scenery: f"tasks/{scenery.done}",
    "desk": lambda _: "desk",
    "letter": lambda scenery: f"desk/{scenery.letter}",
    "agents": lambda _: "agents",
    "budget": lambda _: "budget",
}


def settled(page: Page) -> None:
    """Wait until all of a page is there: its figures, its font, its live connection."""
    expect(page.get_by_role("heading").first).to_be_visible()
    expect(page.get_by_role("status", name="Loading")).to_have_count(0)
    expect(page.get_by_role("banner")).to_contain_text("Live")
    page.evaluate("document.fonts.ready.then(() => true)")


def write(picture: bytes, name: str) -> None:
    """Write a picture with the few colours that a page has; pngquant chooses them."""
    smaller = shutil.which("pngquant")
    assert smaller is not None, "pictures are written with pngquant: apt install pngquant"
    packed = subprocess.run(  # a program of the machine's, which reads our own picture
        [smaller, "--speed", "1", "-"], input=picture, capture_output=True, check=True
    ).stdout
    assert len(packed) < BYTES_MAX
    FOLDER.mkdir(exist_ok=True)
    (FOLDER / name).write_bytes(packed)


@pytest.mark.parametrize("look", LOOKS)
def test_pictures_of_every_page(visit: Visit, scenery: Scenery, look: str) -> None:
    """The issue: "Screenshots in docs/ made by the test"."""
    page = visit(scenery.person, at=scenery.bed, **LOOKS[look])
    for name, path_in in PAGES.items():
        size = LOOKS[look]["viewport"]
        page.set_viewport_size({**size, "height": TALL} if name == "task" else size)
        page.goto(f"/{path_in(scenery)}")
        settled(page)
        picture = page.screenshot()
        assert picture.startswith(b"\x89PNG")
        if os.environ.get("BUCKSTOP_SCREENSHOTS"):
            write(picture, f"{name}-{look}.png")


def test_pictures_are_there_and_small() -> None:
    """A repository keeps every version of a picture for good, so each is small."""
    sizes = {path.name: path.stat().st_size for path in FOLDER.glob("*.png")}
    assert {f"{name}-{look}.png" for name in PAGES for look in LOOKS} <= sizes.keys()
    assert max(sizes.values()) < BYTES_MAX
