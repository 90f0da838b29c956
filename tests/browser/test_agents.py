"""The agents' page: what each has to do, whether it is well, and what its word is worth."""

from playwright.sync_api import Locator, Page, expect

from orchestrator.tokens import Scope
from tests.browser.bed import WITHIN_S, Bed, Person
from tests.browser.conftest import Visit
from tests.hands import Hand
from tests.until import until

HOUR_MS = 3_600_000


def row(page: Page, agent: str) -> Locator:
    return page.get_by_role("listitem").filter(has=page.get_by_role("heading", name=agent))


def fact(page: Page, agent: str, word: str) -> Locator:
    """Return what stands behind a word in an agent's row."""
    pair = row(page, agent).locator("dl > div").filter(has=page.locator("dt", has_text=word))
    return pair.locator("dd")


def admin(bed: Bed) -> Person:
    return bed.person("root", Scope.ADMIN)


def stays_open(bed: Bed, agent: str) -> None:
    """Put the probe of an open breaker off: a busy machine may look at pages for longer."""
    look = bed.buckstop.store.agents
    until("the breaker is open", lambda: agent in look() and look()[agent].breaker.open)
    line = bed.client.hget(bed.keys.breakers, agent)
    assert line is not None
    *figures, opens_ms, probe = line.split()
    put_off = b"%d" % (int(opens_ms) + HOUR_MS)
    bed.client.hset(bed.keys.breakers, agent, b" ".join([*figures, put_off, probe]))


def test_an_agent_at_work_is_seen_without_a_reload(visit: Visit, bed: Bed, tenant: str) -> None:
    """The issue: "agents (queue depth, in flight, breaker, ...)"; live."""
    page = visit(admin(bed), "agents")
    expect(fact(page, "translate", "In flight")).to_contain_text("0")
    expect(fact(page, "translate", "Workers")).to_contain_text("1 alive")
    gate = bed.gates / tenant
    tasks = [bed.submit(tenant, agent="translate", input={"waits": str(gate)}) for _ in range(2)]
    expect(fact(page, "translate", "In flight")).to_contain_text("2")
    gate.touch()
    for task in tasks:
        task.wait(WITHIN_S)
    expect(fact(page, "translate", "In flight")).to_contain_text("0")
    expect(fact(page, "translate", "Since yesterday")).to_contain_text("2 good")
    expect(fact(page, "translate", "Spent")).to_contain_text("400 tokens")


def test_an_open_breaker_stands_in_front_and_is_closed_after_a_question(
    visit: Visit, bed: Bed, tenant: str
) -> None:
    """The issue: "agents (..., breaker)"; it is reset by an administrator, and only when sure."""
    page = visit(admin(bed), "agents")
    for _ in range(5):
        bed.submit(tenant, agent="illustrate", input={"raises": "no"}, replans_max=0)
    stays_open(bed, "illustrate")
    expect(row(page, "illustrate")).to_contain_text("breaker open")
    expect(page.get_by_role("heading", level=2).first).to_have_text("illustrate")
    expect(row(page, "illustrate")).to_contain_text("may try it out in")
    reader = visit(bed.person("rita", Scope.READ), "agents")
    expect(row(reader, "illustrate")).to_contain_text("buckstop agents reset illustrate")
    expect(reader.get_by_role("button", name="Close the breaker")).to_have_count(0)
    page.get_by_role("button", name="Close the breaker of illustrate").click()
    page.get_by_role("button", name="Leave it open").click()
    expect(row(page, "illustrate")).to_contain_text("breaker open")
    page.get_by_role("button", name="Close the breaker of illustrate").click()
    page.get_by_role("button", name="Close the breaker", exact=True).click()
    expect(row(page, "illustrate")).to_contain_text("breaker closed")
    expect(row(reader, "illustrate")).to_contain_text("breaker closed")


def test_a_cap_is_set_and_taken_away(visit: Visit, bed: Bed) -> None:
    """The issue: "agents (..., in flight)"; what is wrong with a cap stands beside its field."""
    page = visit(admin(bed), "agents")
    expect(fact(page, "review", "In flight")).to_contain_text("no cap")
    for wish, shown in (("3", "of 3"), ("", "no cap")):
        page.get_by_role("button", name="Set the cap of review").click()
        page.get_by_label("At most").fill(wish)
        page.get_by_role("button", name="Set the cap", exact=True).click()
        expect(fact(page, "review", "In flight")).to_contain_text(shown)
    page.get_by_role("button", name="Set the cap of review").click()
    page.get_by_label("At most").fill("0")
    page.get_by_role("button", name="Set the cap", exact=True).click()
    expect(page.get_by_role("dialog")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_have_count(0)
    expect(fact(page, "review", "In flight")).to_contain_text("no cap")


def test_an_agent_of_long_ago_stands_apart(visit: Visit, bed: Bed) -> None:
    """The page shows who is at work; who is not any more is one click away."""
    Hand(bed.client, bed.keys, "long-ago")
    try:
        page = visit(admin(bed), "agents")
        expect(row(page, "review")).to_be_visible()
        expect(row(page, "long-ago")).to_be_hidden()
        page.get_by_text("1 retired agent").click()
        expect(row(page, "long-ago")).to_be_visible()
        expect(fact(page, "long-ago", "Workers")).to_contain_text("0 alive")
    finally:
        bed.client.hdel(bed.keys.agents, "long-ago")


def test_what_nobody_announces_is_looked_up_every_few_seconds(visit: Visit, bed: Bed) -> None:
    """The issue: "Live ..., no reload": a cap set from the command line is there too."""
    page = visit(admin(bed), "agents")
    expect(fact(page, "illustrate", "In flight")).to_contain_text("no cap")
    bed.buckstop.store.set_cap("agent", "illustrate", 7)
    expect(fact(page, "illustrate", "In flight")).to_contain_text("of 7")


def test_what_people_thought_stands_beside_what_an_agent_claimed(
    visit: Visit, bed: Bed, tenant: str
) -> None:
    """The issue: "confidence calibration": claimed 0.4 twice, and one of the two was approved."""
    page = visit(admin(bed), "agents")
    expect(fact(page, "research", "Word against fact")).to_contain_text("not judged by people yet")
    for verb in ("approve", "abort"):
        bed.decide(bed.escalated(tenant, agent="research"), verb)
    until("both are judged", lambda: len(bed.buckstop.store.calibration()) >= 2)
    chart = fact(page, "research", "Word against fact").get_by_role("img")
    expect(chart).to_have_accessible_name("claims 40 %, people let 50 % of 2 stand")
