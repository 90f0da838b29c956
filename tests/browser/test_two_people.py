"""Two people at one desk: one wins, and the other is told who it was."""

import re

from playwright.sync_api import Page, expect

from tests.browser.bed import WITHIN_S, Bed
from tests.browser.conftest import Visit

LATER = "button => void setTimeout(() => button.click())"
"""A click that does not wait for what it leads to, so that two can be under way at once."""


def ready(page: Page, verb: str, why: str) -> None:
    page.get_by_test_id(f"verb-{verb}").click()
    page.get_by_test_id("decision-form").locator("[name=why]").fill(why)


def deaf(page: Page, letter: str) -> None:
    """Open a letter where no announcement comes that would take its form away before it is sent."""
    page.context.route("**/v1/events", lambda route: route.abort())
    page.goto(f"/desk/{letter}")


def test_two_decide_at_once_and_one_of_them_is_told_who_was_first(
    visit: Visit, bed: Bed, tenant: str
) -> None:
    """The issue: "First one wins atomically, the second gets told who was first"."""
    task = bed.submit(tenant, input={"says": "so to say", "confidence": 0.4})
    letter = bed.letter_of(task)
    names = ("ada", "ben")
    pages = [visit(bed.person(name, tenant=tenant)) for name in names]
    for page, name in zip(pages, names, strict=True):
        deaf(page, letter)
        ready(page, "approve" if name == "ada" else "abort", f"says {name}")
    for page in pages:
        page.get_by_test_id("send").evaluate(LATER)
    said = [page.get_by_test_id("after") for page in pages]
    for each in said:
        expect(each).to_contain_text(re.compile("You (approved|aborted) this|was first"))
    winner = bed.buckstop.letter(letter)["by"]
    won, lost = (0, 1) if winner == "ada" else (1, 0)
    expect(said[won]).to_contain_text(re.compile("You (approved|aborted) this"))
    expect(said[lost]).to_contain_text(f"{winner} was first")
    expect(said[lost]).to_contain_text("changed nothing")
    expect(said[lost]).to_contain_text(f"says {names[lost]}")
    assert task.wait(WITHIN_S).outcome == ("completed" if winner == "ada" else "aborted")


def test_whoever_looks_on_sees_it_decided_and_keeps_what_was_typed(
    visit: Visit, bed: Bed, tenant: str
) -> None:
    """The issue: "two people deciding at once"; live, before the second one has sent anything."""
    letter = bed.escalated(tenant)
    ada = visit(bed.person("ada", tenant=tenant), f"desk/{letter}")
    ben = visit(bed.person("ben", tenant=tenant), f"desk/{letter}")
    ready(ben, "abort", "half a thought")
    ready(ada, "approve", "good enough")
    ada.get_by_test_id("send").click()
    expect(ben.get_by_test_id("queue-row")).to_contain_text("approved by ada")
    expect(ben.get_by_test_id("after")).to_contain_text("It was approved by ada")
    expect(ben.get_by_test_id("decision-form")).to_have_count(0)
    assert "half a thought" in ben.evaluate("JSON.stringify({...sessionStorage})")


def test_whoever_hears_nothing_is_told_when_sending(visit: Visit, bed: Bed, tenant: str) -> None:
    """The issue: the second gets told who was first, also where its stream is cut off."""
    letter = bed.escalated(tenant)
    ben = visit(bed.person("ben", tenant=tenant))
    deaf(ben, letter)
    ready(ben, "approve", "fine by me")
    bed.decide(letter, "abort")
    ben.get_by_test_id("send").click()
    expect(ben.get_by_test_id("after")).to_contain_text("someone was first: it is aborted already")
    expect(ben.get_by_test_id("after")).to_contain_text("fine by me")
