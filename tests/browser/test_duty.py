"""Somebody on duty at three in the morning: what they find, do not lose, and see."""

import re
from datetime import UTC, datetime, timedelta

import pytest
from playwright.sync_api import Page, Request, expect

from tests.browser.bed import WITHIN_S, Bed, Person
from tests.browser.conftest import Visit
from tests.browser.scenery import Scenery
from tests.browser.test_looks import settled

LAPTOPS = [1280, 1024, 870]
GOAL_PX_MIN = 170
LINES = """each => each.getBoundingClientRect().height
                / parseFloat(getComputedStyle(each).lineHeight)"""
DRAFT = {"title": "A draft", "price": 12}


def posts(page: Page) -> list[Request]:
    """Note what a page sends from now on."""
    sent: list[Request] = []
    page.on("request", lambda asked: sent.append(asked) if asked.method == "POST" else None)
    return sent


# --- found ---------------------------------------------------------------------------------------


def test_the_queue_says_what_each_task_is_for(
    visit: Visit, bed: Bed, ada: Person, tenant: str
) -> None:
    """The issue: "understand it in ten seconds": letters of one cause differ by their goals."""
    for goal in ("Answer Ms Okafor", "Answer Mr Lindqvist"):
        bed.escalated(tenant, goal=goal)
    page = visit(ada, "desk")
    for goal in ("Answer Ms Okafor", "Answer Mr Lindqvist"):
        expect(page.get_by_test_id("queue-row").filter(has_text=goal)).to_have_count(1)
    row = page.get_by_test_id("queue-row").first
    expect(row).to_contain_text("plan done, but confidence 0.40 is below 0.70")
    bed.letter_of(bed.submit(tenant, input={"asks": "Is **6 October** free, `*` too?"}))
    expect(row).to_contain_text("Is 6 October free, * too?")


def test_a_task_shows_which_steps_are_still_to_come(
    visit: Visit, bed: Bed, ada: Person, tenant: str
) -> None:
    """The issue: "a task as a timeline and as a graph": what has not gone out is in neither."""
    gate = str(bed.gates / tenant)
    plan = [
        {"id": "read", "agent": "research", "input": {"waits": gate}},
        {"id": "notes", "agent": "write", "needs": ["read"]},
    ]
    task = bed.submit(tenant, agent=None, input=None, plan=plan)
    page = visit(ada, f"tasks/{task.id}")
    to_come = page.get_by_role("region", name="Still to come")
    expect(to_come).to_contain_text("1 of 2 steps")
    expect(to_come.get_by_role("listitem")).to_contain_text(re.compile("notes write ?needs read"))
    bed.gates.joinpath(tenant).touch()
    expect(page.locator(".standing .badge")).to_have_text("completed")
    expect(to_come).to_have_count(0)


def test_what_failed_is_submitted_again_as_it_was(
    visit: Visit, bed: Bed, ada: Person, tenant: str
) -> None:
    """A peer's page of a run starts it again; so does ours, once, however often it is clicked."""
    first = bed.submit(tenant, goal="Once more", labels={"ticket": "4711"})
    first.wait(WITHIN_S)
    page = visit(ada, f"tasks/{first.id}")
    page.get_by_role("button", name="Submit again").click()
    sent = posts(page)
    page.get_by_role("button", name="Submit it").dblclick()
    expect(page).not_to_have_url(re.compile(first.id))
    expect(page.get_by_role("heading", name="Once more")).to_be_visible()
    assert len(sent) == 1
    again = page.url.rpartition("/")[2]
    expect(page.locator(".standing .badge")).to_have_text("completed")
    before, after = (bed.buckstop.task(each).status() for each in (first.id, again))
    assert (before.goal, before.labels, before.result) == (after.goal, after.labels, after.result)


def test_an_id_that_is_not_in_the_list_is_found_and_a_filter_can_be_taken_back(
    visit: Visit, bed: Bed, ada: Person, tenant: str
) -> None:
    """The search is of the rows that were read; whoever pastes an id means that one task."""
    task = bed.submit(tenant, goal="Find me")
    rita = bed.person(f"rita-{tenant}")
    page = visit(rita, f"tasks?state=aborted&text={task.id}")
    page.get_by_role("link", name=f"Open task {task.id[:8]}").click()
    expect(page.get_by_role("heading", name="Find me")).to_be_visible()
    page.goto(f"/tasks?tenant={tenant}")
    expect(page.get_by_role("row").filter(has_text="Find me")).to_be_visible()
    page.get_by_label("Tenant").select_option("")
    expect(page).to_have_url(re.compile("/tasks$"))


def test_back_leads_from_letter_to_letter_and_to_the_queue_as_it_was_filtered(
    visit: Visit, bed: Bed, ada: Person, tenant: str
) -> None:
    """The desk's filters "stand in the address", through reloads and the back button."""
    for _ in range(2):
        bed.escalated(tenant)
    asked = bed.letter_of(bed.submit(tenant, input={"asks": "Which one?"}))
    page = visit(ada, "desk?kind=escalation")
    rows = page.get_by_test_id("queue-row")
    expect(rows).to_have_count(2)
    first, second = (row.get_attribute("data-letter") for row in rows.all())
    for each in (first, second):
        page.locator(f"[data-letter='{each}'].queue-row").click()
        expect(page.get_by_test_id("letter")).to_have_attribute("data-letter", str(each))
    page.go_back()
    expect(page.get_by_test_id("letter")).to_have_attribute("data-letter", str(first))
    page.go_back()
    page.reload()
    expect(rows).to_have_count(2)
    expect(page.locator(f"[data-letter='{asked}']")).to_have_count(0)


# --- not lost ------------------------------------------------------------------------------------


def test_a_session_that_ends_in_the_middle_of_an_amendment_loses_no_text(
    visit: Visit, bed: Bed, ada: Person, tenant: str
) -> None:
    """DESIGN: people's work is kept as agents' work is: nothing typed is lost."""
    letter = bed.escalated(tenant, input={"says": DRAFT, "confidence": 0.4})
    page = visit(ada, f"desk/{letter}")
    page.get_by_test_id("verb-amend").click()
    editor = page.get_by_test_id("editor")
    editor.fill('{"title": "Mine", "price": 13}')
    expect(page.get_by_test_id("editor-verdict")).to_contain_text("Fits")  # nothing more is asked
    page.context.clear_cookies()
    page.get_by_test_id("send").click()
    expect(page.get_by_role("status").first).to_contain_text("what you typed is kept in this tab")
    page.get_by_label("Token", exact=True).fill(ada.token)
    page.keyboard.press("Enter")
    expect(editor).to_have_value('{"title": "Mine", "price": 13}')
    page.get_by_test_id("send").click()
    expect(page.get_by_test_id("after")).to_contain_text("You amended this.")


def test_whoever_logs_out_is_not_told_that_a_session_ended(visit: Visit, ada: Person) -> None:
    """What they have done themselves is no news."""
    page = visit(ada, "tasks")
    page.get_by_role("button", name="Log out").click()
    expect(page.get_by_label("Token", exact=True)).to_be_visible()
    expect(page.get_by_text("Your session has ended")).to_have_count(0)


def test_a_double_click_decides_once(visit: Visit, bed: Bed, ada: Person, tenant: str) -> None:
    """Nobody is told that they were second to themselves."""
    letter = bed.escalated(tenant)
    page = visit(ada, f"desk/{letter}")
    page.get_by_test_id("verb-approve").click()
    sent = posts(page)
    page.get_by_test_id("send").dblclick()
    expect(page.get_by_test_id("after")).to_contain_text("You approved this.")
    assert [each.url.rpartition("/")[2] for each in sent] == ["decision"]


@pytest.mark.parametrize("hours", [-9, 7])
def test_a_clock_that_is_hours_off_changes_no_countdown(
    visit: Visit, bed: Bed, ada: Person, tenant: str, hours: int
) -> None:
    """lib/api.js: "all times of the API are the server's"."""
    letter = bed.escalated(tenant)
    page = visit(ada, "login")
    page.clock.install(time=datetime.now(UTC) + timedelta(hours=hours))
    page.goto(f"/desk/{letter}")
    expect(page.get_by_test_id("fate")).to_contain_text(re.compile(r"within\s+23 h 5\d min"))
    expect(page.get_by_test_id("queue-row")).to_contain_text("aborted in 23 h")
    expect(page.get_by_test_id("queue-row")).to_contain_text(re.compile(r"just now|\d+ s ago"))


# --- seen ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("width", LAPTOPS)
def test_on_a_laptop_goals_have_room_and_no_heading_is_broken(
    visit: Visit, scenery: Scenery, width: int
) -> None:
    """The issue: "Looks designed": between a phone and a large screen too."""
    page = visit(scenery.person, at=scenery.bed, viewport={"width": width, "height": 700})
    settled(page, "tasks")
    goal = page.locator("tbody td.is-main").first.bounding_box()
    assert goal is not None
    assert goal["width"] >= GOAL_PX_MIN
    for path in ("desk", f"desk/{scenery.letter}"):
        settled(page, path)
        assert page.locator(".queue-word").evaluate(LINES) < 2, path


def test_a_goal_of_many_empty_lines_pushes_no_decision_away(
    visit: Visit, bed: Bed, ada: Person, tenant: str
) -> None:
    """The issue: "one letter with everything needed to decide on one screen"."""
    letter = bed.escalated(tenant, goal="Look at this" + "\n" * 200 + "and that")
    page = visit(ada, f"desk/{letter}", viewport={"width": 1280, "height": 800})
    expect(page.get_by_test_id("verb-approve")).to_be_in_viewport()


def test_with_colours_of_the_system_what_is_chosen_and_how_full_bars_are_is_seen(
    visit: Visit, scenery: Scenery
) -> None:
    """WCAG 1.4.1: not by a background alone, for forced colours take backgrounds away."""
    page = visit(scenery.person, at=scenery.bed, forced_colors="active")
    settled(page, f"desk/{scenery.letter}")
    style = "each => getComputedStyle(each).outlineStyle"
    for chosen in (".chip[aria-pressed=true]", ".place[aria-current]", ".queue-row[aria-current]"):
        assert page.locator(chosen).evaluate(style) == "solid", chosen
    colour = "each => getComputedStyle(each).backgroundColor"
    full, empty = (page.locator(each).first.evaluate(colour) for each in (".bar-is", ".bar"))
    assert full != empty
