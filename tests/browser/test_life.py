"""A task from submit to done, with a person in the middle, all in one page."""

import json
import re

import httpx
from playwright.sync_api import Page, Route, expect

from orchestrator.wanted import Wanted
from tests.browser.bed import WITHIN_S, Bed, Person
from tests.browser.conftest import Visit
from tests.browser.eyes import without_reload


def state(page: Page, says: str) -> None:
    expect(page.locator(".standing .badge")).to_have_text(says)


def send(page: Page, verb: str, why: str = "") -> None:
    """Open a verb's form, say why, and send it."""
    page.get_by_test_id(f"verb-{verb}").click()
    if why:
        page.get_by_test_id("decision-form").locator("[name=why]").fill(why)
    page.get_by_test_id("send").click()


def now(page: Page, what: str) -> None:
    """See what became of the task, on the letter's own page."""
    expect(page.get_by_test_id("task-state")).to_have_attribute("data-state", what)


def test_submit_watch_escalated_decide_completed_in_one_page(
    visit: Visit, bed: Bed, ada: Person, tenant: str
) -> None:
    """The issue: "submit → watch live → escalated → decide → completed"."""
    gate = bed.gates / tenant
    script = json.dumps({"waits": str(gate), "says": "Otters hold hands.", "confidence": 0.4})
    page = visit(ada, "tasks")
    with without_reload(page):
        page.get_by_role("button", name="New task").first.click()
        page.get_by_label("Goal", exact=True).fill(f"Say something about otters\n{script}")
        page.get_by_label("Agent", exact=True).fill("write")
        page.get_by_role("button", name="Submit").click()
        state(page, "working")
        expect(page.get_by_role("region", name="Hops", exact=True)).to_contain_text("write")
        gate.touch()
        state(page, "on the desk")
        expect(page.get_by_text("This task waits for a person.")).to_be_visible()
        page.get_by_role("link", name="Decide").click()
        expect(page.get_by_role("heading", level=1)).to_contain_text("did not pass the gate")
        expect(page.get_by_test_id("letter")).to_contain_text("Otters hold hands.")
        send(page, "approve", "They do.")
        expect(page.get_by_test_id("after")).to_contain_text("You approved this.")
        now(page, "completed")
        page.get_by_role("link", name="See the task").click()
        state(page, "completed")
        expect(page.get_by_role("region", name="Result")).to_contain_text("Otters hold hands.")
        expect(page.get_by_role("main")).to_contain_text("They do.")


def test_the_list_of_tasks_follows_them_without_a_reload(
    visit: Visit, bed: Bed, ada: Person, tenant: str
) -> None:
    """The issue: "tasks (filter, live)"; a row stays in its place while its state changes."""
    page = visit(ada, "tasks")
    expect(page.get_by_role("heading", name="No tasks yet")).to_be_visible()
    gate = bed.gates / tenant
    with without_reload(page):
        bed.submit(tenant, goal="Follow me", input={"waits": str(gate)})
        row = page.get_by_role("row").filter(has_text="Follow me")
        expect(row).to_contain_text("working")
        with page.expect_response(re.compile(r"/v1/tasks\?.*state=")):
            page.get_by_role("button", name=re.compile("^Open")).click()
        expect(row).to_contain_text("working")
        gate.touch()
        expect(row).to_contain_text("completed")
        page.get_by_role("button", name=re.compile("^Completed")).click()
        expect(row).to_be_visible()
        page.get_by_role("button", name=re.compile("^Aborted")).click()
        expect(row).to_have_count(0)


def test_what_comes_while_the_stream_is_still_on_its_way_is_seen_too(
    visit: Visit, bed: Bed, ada: Person, tenant: str
) -> None:
    """The issue: "Live by SSE, no reload": what comes behind the first reading nobody announces."""
    held: list[Route] = []
    page = visit(ada)
    page.context.route("**/v1/events", lambda route: held.append(route))  # noqa: PLW0108 - marked
    with page.expect_request("**/v1/events"):
        page.goto("/tasks")
    expect(page.get_by_role("heading", name="No tasks yet")).to_be_visible()
    bed.submit(tenant, goal="Not announced").wait(WITHIN_S)
    for route in held:
        route.continue_()
    expect(page.get_by_role("row").filter(has_text="Not announced")).to_contain_text("completed")


def test_a_letter_comes_to_the_desk_by_itself_and_is_counted_everywhere(
    visit: Visit, bed: Bed, ada: Person, tenant: str
) -> None:
    """The issue: "Live by SSE, no reload"."""
    page = visit(ada, "desk")
    expect(page.get_by_test_id("nothing-waits")).to_be_visible()
    with without_reload(page):
        letter = bed.escalated(tenant)
        expect(page.get_by_test_id("queue-row")).to_have_count(1)
        expect(page.get_by_role("link", name="Desk")).to_contain_text("1")
        bed.decide(letter, "abort")
        expect(page.get_by_test_id("queue-row")).to_contain_text("aborted by someone")
        expect(page.get_by_role("link", name="Desk")).not_to_contain_text("1")


def test_a_question_is_answered_with_one_of_its_choices(
    visit: Visit, bed: Bed, ada: Person, tenant: str
) -> None:
    """The issue: "answer"; the answer comes back to the agent, and the task goes on."""
    asks = {"asks": "Which river is meant?", "choices": ["Elbe", "Rhine"], "confidence": 0.9}
    task = bed.submit(tenant, input=asks)
    page = visit(ada, f"desk/{bed.letter_of(task)}")
    expect(page.get_by_role("heading", level=1)).to_contain_text("write asks a question")
    page.get_by_label("Rhine").check()
    page.get_by_test_id("send").click()
    now(page, "completed")
    assert task.status().result == "Rhine"


def test_somebody_outside_answers_by_a_link_and_the_page_sees_it(
    visit: Visit, bed: Bed, ada: Person, tenant: str
) -> None:
    """The issue: "A wait token URL lets any outside service answer one question once"."""
    task = bed.submit(tenant, input={"asks": "Which river is meant?", "confidence": 0.9})
    page = visit(ada, f"desk/{bed.letter_of(task)}")
    with without_reload(page):
        page.get_by_test_id("elsewhere").click()
        page.get_by_role("button", name="Make the link").click()
        shown = page.get_by_test_id("wait-url")
        expect(shown).to_be_visible()
        url = shown.evaluate("each => each.value ?? each.textContent").strip()
        said = httpx.post(url, json={"answer": "Elbe"}, timeout=30)
        assert (said.status_code, task.wait(WITHIN_S).result) == (200, "Elbe")
        now(page, "completed")
    assert httpx.post(url, json={"answer": "Rhine"}, timeout=30).status_code == 410


def test_a_result_is_amended_and_checked_against_the_tasks_schema_first(
    visit: Visit, bed: Bed, ada: Person, tenant: str
) -> None:
    """The issue: "amend in an editor with validation"; "validated ... before it is accepted"."""
    schema = {"type": "object", "required": ["title"], "properties": {"title": {"type": "string"}}}
    script = {"says": {"title": "Ottrs"}, "confidence": 0.4}
    task = bed.submit(tenant, input=script, result_schema=schema)
    page = visit(ada, f"desk/{bed.letter_of(task)}")
    page.get_by_test_id("verb-amend").click()
    form = page.get_by_test_id("decision-form")
    editor = form.locator("textarea").first
    editor.fill('{"title": 7}')
    expect(form).to_contain_text("string")
    editor.fill('{"title": "Otters", }')
    page.get_by_test_id("send").click()
    expect(form).to_contain_text("column")
    assert task.status().letter is not None
    editor.fill('{"title": "Otters"}')
    page.get_by_test_id("send").click()
    now(page, "completed")
    assert task.status().result == {"title": "Otters"}


def test_more_is_given_another_agent_goes_on_or_it_is_ended(
    visit: Visit, bed: Bed, ada: Person, tenant: str
) -> None:
    """The issue: "retry", "reassign", "abort"; each on its letter's page."""
    tasks = [bed.submit(tenant, input={"fails": "no idea"}) for _ in range(3)]
    retried, reassigned, aborted = [bed.letter_of(task) for task in tasks]
    page = visit(ada, f"desk/{retried}")
    page.get_by_test_id("verb-retry").click()
    page.get_by_label("+ hops").fill("2")
    page.get_by_test_id("send").click()
    expect(page.get_by_test_id("after")).to_contain_text("You retried this.")
    page.goto(f"/desk/{reassigned}")
    page.get_by_test_id("verb-reassign").click()
    page.get_by_test_id("decision-form").get_by_text("review", exact=True).first.click()
    page.get_by_test_id("send").click()
    expect(page.get_by_test_id("after")).to_contain_text("You reassigned this.")
    page.goto(f"/desk/{aborted}")
    send(page, "abort", "Not worth it.")
    now(page, "aborted")
    verbs = [bed.buckstop.letter(each)["verb"] for each in (retried, reassigned, aborted)]
    assert verbs == ["retry", "reassign", "abort"]
    assert bed.buckstop.letter(aborted)["by"] == "ada"


def test_many_letters_of_one_cause_are_decided_at_once_after_a_look(
    visit: Visit, bed: Bed, ada: Person, tenant: str
) -> None:
    """The issue: "Bulk decisions by filter with a preview"."""
    for _ in range(4):
        bed.submit(tenant, input={"fails": "no idea"})
    page = visit(ada, "desk")
    expect(page.get_by_test_id("queue-row")).to_have_count(4)
    page.get_by_role("button", name=re.compile("Decide all")).first.click()
    bulk = page.get_by_test_id("bulk")
    expect(bulk).to_contain_text("4 letters are meant")
    bulk.get_by_label("Abort").check()
    page.get_by_test_id("bulk-confirm").click()
    expect(page.get_by_test_id("bulk-done")).to_contain_text("4 letters aborted")
    assert bed.buckstop.letter_counts("kind", Wanted(tenant=tenant)) == {}
