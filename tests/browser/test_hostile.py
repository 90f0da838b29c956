"""Text of agents and callers is hostile: whatever it says, it is shown, and nothing else happens.

eyes.py watches all the while: a script that runs, a dialog, a breach of the content security
policy, a request to somebody else or a window that opens fails the test in which it happens.
"""

import pytest
from playwright.sync_api import Page, expect

from tests.browser.bed import Bed, Person
from tests.browser.conftest import Visit
from tests.browser.eyes import MARKER, sideways

SCRIPTS = [
    f"<script>{MARKER}</script>",
    f'<img src=x onerror="{MARKER}">',
    f"<svg/onload={MARKER}>",
    f'<a href="javascript:{MARKER}">a link</a>',
    f"[a link](javascript:{MARKER})",
    f"[a link](data:text/html,<script>{MARKER}</script>)",
    f"<javascript:{MARKER}>",
    "![a picture](http://stranger.example/pixel.png)",
    "<iframe src=http://stranger.example></iframe>",
    '<form action="http://stranger.example"><button>Approve</button></form>',
    f"'\"></textarea></title></style></template><script>{MARKER}</script>",
    f"<style>*{{display:none}}</style><details open ontoggle={MARKER}>",
    f"${{{MARKER}}}{{{{{MARKER}}}}}",
    "<base href=http://stranger.example/><meta http-equiv=refresh content=0>",
]
ODD = [
    "\u202edesrever si siht\u202c \u2066isolated\u2069 \u200fright\u200f",
    "👩‍👩‍👧‍👦 🏳️‍🌈 🇩🇪 " + "Z̸̛͖̈́a̵͔̽l̶̰̊g̷̼̈́o̸͜͝" * 20,
    "bell \u0007 escape \u001b[31m back \u0008\u0008 null \u0000 end",
    "lone \ufeff\u200b\u00ad\u2028\u2029 separators",
]
MARKDOWN = "# Heading\n\n" + "\n\n".join(SCRIPTS) + "\n\n| a | b |\n|--|--|\n| <b>x</b> | y |"
GIANT = "W" * 100_000
EVERYTHING = "\n\n".join([*SCRIPTS, *ODD])


def harmless(page: Page) -> None:
    """See that hostile text has become no element that does anything, and moves nothing aside."""
    expect(page.get_by_role("status", name="Loading")).to_have_count(0)
    doing = "main :is(script, iframe, object, embed, form[action], base, meta, img, style, object)"
    assert page.locator(doing).count() == 0
    assert page.locator('a[href^="javascript" i], a[href^="data" i]').count() == 0
    handlers = "all => all.flatMap(e => e.getAttributeNames()).filter(n => n.startsWith('on'))"
    assert page.locator("main *").evaluate_all(handlers) == []
    assert sideways(page) <= 0


def every_page(page: Page, task: str, letter: str) -> None:
    """Open every page that shows the task, and unfold what is folded."""
    for path in ("tasks", f"tasks/{task}", "desk", "desk?view=causes", f"desk/{letter}"):
        page.goto(f"/{path}")
        expect(page.get_by_role("main").get_by_role("heading").first).to_be_visible()
        expect(page.get_by_role("status", name="Loading")).to_have_count(0)
        page.locator("main details").evaluate_all("all => all.forEach(each => each.open = true)")
        harmless(page)


@pytest.mark.parametrize("size", [{"width": 1280, "height": 800}, {"width": 390, "height": 844}])
def test_hostile_text_is_shown_as_text_wherever_a_task_is_shown(
    visit: Visit, bed: Bed, ada: Person, tenant: str, size: dict[str, int]
) -> None:
    """The issue: "hostile content (script, giant text, RTL, emoji) harmless"."""
    script = {
        "says": {EVERYTHING[:200]: [EVERYTHING, MARKDOWN], "giant": GIANT[:60_000]},
        "confidence": 0.4,
    }
    labels = {SCRIPTS[0][:60]: EVERYTHING[:256]}
    task = bed.submit(tenant, goal=EVERYTHING, input=script, labels=labels)
    letter = bed.letter_of(task)
    page = visit(ada, viewport=size)
    every_page(page, task.id, letter)
    expect(page.get_by_test_id("letter")).to_contain_text(SCRIPTS[0])


def test_a_hostile_question_and_its_choices_are_asked_and_answered(
    visit: Visit, bed: Bed, ada: Person, tenant: str
) -> None:
    """The issue: "Agent text is hostile: escaped everywhere, Markdown sanitised"."""
    choices = [SCRIPTS[0], SCRIPTS[1], ODD[0], "W" * 250]
    task = bed.submit(tenant, input={"asks": MARKDOWN[:4000], "choices": choices})
    letter = bed.letter_of(task)
    page = visit(ada, f"desk/{letter}")
    expect(page.get_by_test_id("letter")).to_contain_text("<script>")
    harmless(page)
    for link in page.locator("blockquote a").all():
        assert (link.get_attribute("href") or "").startswith(("http:", "https:", "mailto:"))
    page.get_by_label(SCRIPTS[0]).check()
    page.get_by_test_id("send").click()
    expect(page.get_by_test_id("task-state")).to_have_attribute("data-state", "completed")
    assert task.status().result == SCRIPTS[0]


def test_hostile_reasons_of_agents_and_of_people_are_text(
    visit: Visit, bed: Bed, ada: Person, tenant: str
) -> None:
    """The issue: "Every decision is in the task's journal for good", hostile ones too."""
    task = bed.submit(tenant, input={"fails": EVERYTHING[:4000]})
    letter = bed.letter_of(task)
    page = visit(ada, viewport={"width": 390, "height": 844})
    every_page(page, task.id, letter)
    bed.decide(letter, "abort", why=EVERYTHING[:4000])
    every_page(page, task.id, letter)
    expect(page.get_by_test_id("after")).to_contain_text(SCRIPTS[1])


def test_a_result_of_100_kb_in_one_word_is_cut_and_can_be_shown_whole(
    visit: Visit, bed: Bed, ada: Person, tenant: str
) -> None:
    """The issue: "giant text"."""
    task = bed.submit(tenant, input={"says": GIANT, "confidence": 0.4})
    page = visit(ada, f"desk/{bed.letter_of(task)}", viewport={"width": 390, "height": 844})
    harmless(page)
    page.get_by_role("button", name="Show all 100,000 characters").first.click()
    expect(page.get_by_test_id("letter")).to_contain_text(GIANT)
    harmless(page)


def test_markdown_that_would_take_seconds_to_read_is_shown_as_it_is(
    visit: Visit, bed: Bed, ada: Person, tenant: str
) -> None:
    """The issue: "Agent text is hostile": a page must not stand still over a few kilobytes."""
    task = bed.submit(tenant, input={"says": "**bold** " + " _a_b" * 5_000, "confidence": 0.4})
    page = visit(ada, f"desk/{bed.letter_of(task)}")
    expect(page.get_by_test_id("letter")).to_contain_text("**bold**")
    harmless(page)


def test_a_hostile_message_is_shown_byte_for_byte(visit: Visit, bed: Bed, tenant: str) -> None:
    """The issue: "Original bytes kept"; a message that nobody can run may hold anything."""
    bytes_ = EVERYTHING.encode() + b"\x00\xff\xfe" + GIANT.encode()[:1000]
    bed.client.lpush(bed.keys.queue("research"), bytes_)
    page = visit(bed.person(tenant), "desk?kind=undeliverable")
    page.get_by_test_id("queue-row").first.click()
    expect(page.get_by_test_id("letter")).to_contain_text("<script>")
    harmless(page)
    page.get_by_test_id("verb-discard").click()
    page.get_by_test_id("send").click()
    expect(page.get_by_test_id("after")).to_contain_text("You discarded this.")


def test_a_hostile_model_name_is_text_in_the_books(
    visit: Visit, bed: Bed, ada: Person, tenant: str
) -> None:
    """A worker makes up models' names; the budget page shows them."""
    today = bed.client.time()[0] // 86_400
    row = f"{tenant}|write|{SCRIPTS[1][:90]}"
    bed.client.hset(bed.keys.spend(today), row, "100 5 1 1 0 0")
    page = visit(ada, "budget?by=model", viewport={"width": 320, "height": 568})
    expect(page.get_by_role("table", name="Spend by model")).to_contain_text("<img src=x")
    harmless(page)
