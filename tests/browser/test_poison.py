"""A step that workers fall silent over: its letter, on a screen and on a phone; and the editor.

The worker is one of the test's own: it takes the step, and is made to look silent for long.
"""

import json
from itertools import product
from typing import Any

from playwright.sync_api import Page, expect

from envelopes.limits import LOST_MAX
from orchestrator.client import TaskHandle
from tests.browser.bed import Bed, Person
from tests.browser.conftest import Visit
from tests.hands import Hand
from tests.until import until

PHONE: dict[str, Any] = {"viewport": {"width": 390, "height": 844}}
SCREEN: dict[str, Any] = {"viewport": {"width": 1280, "height": 900}}
FOUND = {"trees": 412, "said": "A long line about the trees of the park. " * 8}


def silenced(bed: Bed, tenant: str) -> TaskHandle:
    """Submit a task one of whose steps nobody who takes it is heard of again."""
    agent = f"ghost-{tenant}"
    hand = Hand(bed.client, bed.keys, agent)
    survey = {"says": FOUND, "confidence": 0.9}
    plan = [
        {"id": "survey", "agent": "research", "input": survey},
        {"id": "count", "agent": agent, "needs": ["survey"]},
    ]
    task = bed.submit(tenant, goal="How many trees stand there?", agent=None, plan=plan)
    for _ in range(LOST_MAX):
        [job] = until("the step is handed out", lambda: hand.take(1))
        bed.client.hset(bed.keys.claim(job.id), "beat_ms", 1)
        bed.client.zadd(bed.keys.due, {task.id: 0})
        bed.client.lpush(bed.keys.bell, task.id)
    return task


def fits(page: Page) -> bool:
    """Say whether nothing is wider than the page."""
    return bool(page.evaluate("document.documentElement.scrollWidth <= innerWidth"))


def test_a_letter_of_poison_says_what_happened_and_is_decided(
    visit: Visit, bed: Bed, ada: Person, tenant: str
) -> None:
    """The issue: "one letter with everything needed to decide on one screen"; works on a phone."""
    task = silenced(bed, tenant)
    letter = bed.letter_of(task)
    for scheme, size in product(("light", "dark"), (SCREEN, PHONE)):
        page = visit(ada, f"desk/{letter}", color_scheme=scheme, **size)
        shown = page.get_by_test_id("letter")
        title = shown.get_by_role("heading", name="Workers fell silent over this step.")
        expect(title).to_contain_text("Is what is kept good enough?")
        expect(shown).to_contain_text(f"poison: {LOST_MAX} workers fell silent over it")
        expect(shown).to_contain_text("broken")
        assert fits(page)
    page.get_by_test_id("verb-approve").click()
    page.get_by_test_id("send").click()
    expect(page.get_by_test_id("task-state")).to_have_attribute("data-state", "partial")


def test_on_a_phone_long_lines_wrap_and_keep_their_numbers(
    visit: Visit, bed: Bed, ada: Person, tenant: str
) -> None:
    """The issue: "amend in an editor with validation"; "works on a phone"."""
    letter = bed.escalated(tenant, input={"says": FOUND, "confidence": 0.4})
    page = visit(ada, f"desk/{letter}", **PHONE)
    page.get_by_test_id("verb-amend").click()
    editor = page.get_by_test_id("editor")
    editor.fill(json.dumps(FOUND, indent=2).replace("412", "x"))
    expect(page.locator(".editor-mark")).to_have_text("2")
    assert editor.evaluate("text => text.scrollWidth <= text.clientWidth")
    heights = "text => [text, text.previousElementSibling].map(each => each.scrollHeight)"
    typed, numbered = editor.evaluate(heights)
    assert abs(typed - numbered) <= 24, "each number stands where its line begins"
    assert fits(page)
    page.set_viewport_size(SCREEN["viewport"])
    expect(editor).to_have_attribute("wrap", "off")
