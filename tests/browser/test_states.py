"""Empty, loading, broken, not there; and many tabs at once."""

import pytest
from playwright.sync_api import Page, Route, expect

from orchestrator.tokens import Scope
from tests.browser.bed import WITHIN_S, Bed, Person
from tests.browser.conftest import Visit
from tests.browser.eyes import Eyes

READ_BY = {
    "tasks": "**/v1/tasks?*",
    "desk": "**/v1/letters?*",
    "agents": "**/v1/agents",
    "budget": "**/v1/spend?*",
}
PROBLEM = {
    "type": "urn:buckstop:problem:bug",
    "title": "Our mistake",
    "status": 500,
    "detail": "It is in the log.",
}
TABS = 7
"""One more than the connections that a browser has to one server."""


class Broken:
    """A server that first says nothing at all, and then of each request that it made a mistake."""

    def __init__(self) -> None:
        self._held: list[Route] | None = []

    def asked(self, route: Route) -> None:
        if self._held is None:
            route.fulfill(status=500, json=PROBLEM)
        else:
            self._held.append(route)

    def answer(self) -> None:
        held, self._held = self._held or [], None
        for route in held:
            self.asked(route)


def loading(page: Page) -> None:
    expect(page.get_by_role("status", name="Loading").first).to_be_visible()


@pytest.mark.parametrize(
    ("path", "says"),
    [
        ("tasks", "No tasks yet"),
        ("desk", "Nothing waits for a person"),
        ("budget", "Nothing was spent"),
        ("tasks/0123456789abcdef0123", "There is no such task"),
        ("desk/0123456789abcdef0123.1", "There is no such letter"),
        ("tasks?state=aborted", "No task fits"),
    ],
)
def test_an_empty_page_says_what_would_be_there(
    visit: Visit, ada: Person, path: str, says: str
) -> None:
    """The issue: "empty, loading and error states"."""
    page = visit(ada, path)
    expect(page.get_by_role("heading", name=says)).to_be_visible()


@pytest.mark.parametrize("place", READ_BY)
def test_a_page_that_cannot_be_read_says_so_and_is_read_again(
    visit: Visit, bed: Bed, eyes: Eyes, place: str
) -> None:
    """The issue: "empty, loading and error states": first nothing comes, then an error, then it."""
    eyes.forgive(500)
    broken = Broken()
    page = visit(bed.person("rita", Scope.READ, Scope.DECIDE), "login")
    page.route(READ_BY[place], broken.asked)
    with page.expect_request(READ_BY[place]):
        page.goto(f"/{place}")
    loading(page)
    broken.answer()
    alert = page.get_by_role("alert")
    expect(alert.first).to_contain_text("It is in the log.")
    again = page.get_by_role("button", name="Try again")
    with page.expect_request(READ_BY[place]):
        again.first.click()
    page.unroute(READ_BY[place])
    again.evaluate_all("all => all[0]?.click()")  # none is left where it was read meanwhile
    expect(alert).to_have_count(0)
    expect(page.get_by_role("status", name="Loading")).to_have_count(0)


def test_a_task_that_is_forgotten_while_its_row_is_shown_breaks_no_list(
    visit: Visit, bed: Bed, eyes: Eyes, ada: Person, tenant: str
) -> None:
    """tasks/list.js: "a row that is shown stays where it is", though its task was purged."""
    eyes.forgive(404)
    gates = [bed.gates / f"{tenant}-{name}" for name in ("stays", "ends", "comes")]
    _, ends = (
        bed.submit(tenant, goal=f"It {gate.name}", input={"waits": str(gate)}) for gate in gates[:2]
    )
    page = visit(ada, "tasks?state=open")
    shown = page.get_by_role("row").filter(has_text=f"It {gates[1].name}")
    expect(shown).to_be_visible()
    address = f"**/v1/tasks/{ends.id}"
    page.route(address, lambda route: route.fulfill(status=404, json={**PROBLEM, "status": 404}))
    with page.expect_request(address):
        gates[1].touch()
    bed.submit(tenant, goal=f"It {gates[2].name}", input={"waits": str(gates[2])})
    expect(page.get_by_role("row").filter(has_text=f"It {gates[2].name}")).to_be_visible()
    expect(shown).to_be_visible()
    expect(page.get_by_role("alert")).to_have_count(0)
    for gate in gates:
        gate.touch()


def test_a_page_that_is_nowhere_says_where_to_go(visit: Visit, ada: Person) -> None:
    """House rule: what to do next is said."""
    page = visit(ada, "tasks")
    expect(page.get_by_role("heading", name="Tasks", level=1)).to_be_visible()
    page.evaluate("history.pushState(null, '', '/nowhere'); dispatchEvent(new Event('popstate'))")
    page.get_by_role("link", name="See the tasks").click()
    expect(page.get_by_role("heading", name="Tasks", level=1)).to_be_visible()


def turn(tab: Page, *, away: bool) -> None:
    """Put a tab behind another one or in front of it, as far as it can know."""
    tab.evaluate(
        """away => { Object.defineProperty(document, 'hidden', {value: away, configurable: true});
        document.dispatchEvent(new Event('visibilitychange')) }""",
        away,
    )


def test_more_tabs_than_a_browser_has_connections_are_all_served(
    visit: Visit, bed: Bed, ada: Person, tenant: str
) -> None:
    """The issue: "Live by SSE"; a tab that nobody sees leaves its connection to the others."""
    first = visit(ada, "tasks")
    tabs = [first]
    for _ in range(TABS - 1):
        expect(tabs[-1].get_by_role("heading", name="No tasks yet")).to_be_visible()
        turn(tabs[-1], away=True)
        tabs.append(first.context.new_page())
        tabs[-1].goto("/tasks")
    bed.submit(tenant, goal="Seen in every tab").wait(WITHIN_S)
    for before, tab in zip([tabs[-1], *tabs], tabs, strict=False):
        turn(before, away=True)
        turn(tab, away=False)
        expect(tab.get_by_role("row").filter(has_text="Seen in")).to_contain_text("completed")


def test_a_draft_lives_in_its_tab_until_it_is_sent(
    visit: Visit, bed: Bed, ada: Person, tenant: str
) -> None:
    """What somebody has typed is never thrown away by looking at something else."""
    letter = bed.escalated(tenant)
    page = visit(ada, f"desk/{letter}")
    page.get_by_test_id("verb-abort").click()
    page.get_by_test_id("decision-form").locator("[name=why]").fill("because")
    page.get_by_role("link", name="Agents").click()
    page.go_back()
    why = page.get_by_test_id("decision-form").locator("[name=why]")
    expect(why).to_have_value("because")
    page.reload()
    expect(why).to_have_value("because")
