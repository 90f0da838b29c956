"""Amending: the editor says what is wrong where it is wrong, and loses nothing.

The reader of JSON is ours (pages/letter/json_text.js), so it is held against Python's own.
"""

import json
import random
from typing import Any

from playwright.sync_api import Page, expect

from tests.browser.bed import WITHIN_S, Bed, Person
from tests.browser.conftest import Visit

SCHEMA = {
    "type": "object",
    "required": ["title", "price"],
    "properties": {"title": {"type": "string"}, "price": {"type": "number"}},
}
DRAFT = {"title": "Birch", "price": 990, "sources": ["a", "b"]}
READ = """async texts => {
  const { readJson } = await import("/console/pages/letter/json_text.js");
  return texts.map(text => readJson(text).wrong);
}"""
COMPARED = """async ([before, after]) => {
  const { difference } = await import("/console/pages/letter/diff.js");
  return difference(before, after);
}"""
TEXTS = [
    "",
    " ",
    "nul",
    "01",
    "1.",
    "-",
    "1e",
    '"a',
    '"\\q"',
    '"a\nb"',
    "[1,]",
    '{"a" 1}',
    '{"a":1,"a":2}',
    "{,}",
    "]",
]
PIECES = [
    '"',
    "\\",
    "{",
    "}",
    "[",
    "]",
    ",",
    ":",
    "1",
    "-0.5e3",
    "true",
    "null",
    "\n",
    " ",
    "é",
    "x",
]
SEED = 20_261


def amending(visit: Visit, bed: Bed, ada: Person, tenant: str) -> Page:
    letter = bed.escalated(tenant, input={"says": DRAFT, "confidence": 0.4}, result_schema=SCHEMA)
    page = visit(ada, f"desk/{letter}")
    page.get_by_test_id("verb-amend").click()
    expect(page.get_by_test_id("editor")).to_be_focused()
    return page


def sound(text: str) -> bool:
    """Say whether Python reads it, with what JSON does not know refused."""
    try:
        json.loads(text, object_pairs_hook=_once_each, parse_constant=_no_json)
    except ValueError:
        return False
    return True


def _once_each(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len({name for name, _ in pairs}) < len(pairs):
        raise ValueError("a name twice")
    return dict(pairs)


def _no_json(word: str) -> None:
    raise ValueError(word)


def drawn(draw: random.Random) -> str:
    """Draw a text that is nearly JSON, or by luck is."""
    whole = json.dumps({"a": [1, -2.5, {"b": None}], "c": 'x"\\y', "é": True}, indent=1)
    at, piece = draw.randrange(len(whole)), draw.choice([*PIECES, ""])
    return whole[:at] + piece + whole[at + draw.randrange(3) :]


def test_the_reader_takes_what_python_takes_and_nothing_else(visit: Visit, ada: Person) -> None:
    """The issue: "amend in an editor with validation"."""
    draw = random.Random(SEED)
    texts = [*TEXTS, *(drawn(draw) for _ in range(500))]
    wrong = visit(ada, "desk").evaluate(READ, texts)
    for text, found in zip(texts, wrong, strict=True):
        assert (found is None) == sound(text), (text, found)


def test_what_is_wrong_is_said_by_line_and_column(visit: Visit, ada: Person) -> None:
    """The issue: "amend in an editor with validation"."""
    found = visit(ada, "desk").evaluate(READ, ['{\n  "a": 1,\n  b: 2\n}', '{"a": [1 2]}', "[\n1,"])
    assert [(each["line"], each["column"]) for each in found] == [(3, 3), (1, 10), (2, 3)]


def test_a_number_that_a_browser_would_round_is_refused(visit: Visit, ada: Person) -> None:
    """DESIGN: what was paid for is kept; a result must not be changed unseen on its way."""
    texts = [
        "9007199254740993",
        "-12345678901234567890",
        "1e400",
        "9007199254740991",
        "0.1",
        "1e300",
    ]
    found = visit(ada, "desk").evaluate(READ, texts)
    assert [each is not None for each in found] == [True, True, True, False, False, False]


def test_the_schema_is_asked_while_somebody_types(
    visit: Visit, bed: Bed, ada: Person, tenant: str
) -> None:
    """The issue: "amend (validated against the task's schema before it is accepted)"."""
    page = amending(visit, bed, ada, tenant)
    editor, verdict = page.get_by_test_id("editor"), page.get_by_test_id("editor-verdict")
    expect(verdict).to_contain_text("Fits: it can be delivered.")
    kept = editor.input_value()
    editor.fill(kept.replace("990", '"cheap"'))
    expect(verdict).to_contain_text("/price")
    expect(verdict).to_contain_text("line 3")
    editor.fill(kept.replace('"title"', "title"))
    expect(verdict).to_contain_text("Line 2, column 3")
    expect(editor).to_have_attribute("aria-invalid", "true")
    editor.fill(kept.replace("990", "890"))
    expect(verdict).to_contain_text("Fits: it can be delivered.")


def test_what_breaks_the_schema_is_refused_and_the_letter_stays_open(
    visit: Visit, bed: Bed, ada: Person, tenant: str
) -> None:
    """The issue: "validated against the task's schema before it is accepted"."""
    page = amending(visit, bed, ada, tenant)
    editor = page.get_by_test_id("editor")
    editor.fill('{"title": "Birch"}')
    page.keyboard.press("Control+Enter")
    expect(page.get_by_test_id("decision-form")).to_contain_text("The letter stays open")
    expect(editor).to_have_value('{"title": "Birch"}')


def test_what_is_typed_outlives_a_reload_and_is_shown_against_what_is_kept(
    visit: Visit, bed: Bed, ada: Person, tenant: str
) -> None:
    """DESIGN: people's work is kept as agents' work is: nothing typed is lost."""
    page = amending(visit, bed, ada, tenant)
    editor = page.get_by_test_id("editor")
    editor.fill(editor.input_value().replace("990", "890"))
    page.reload()
    expect(editor).to_have_value(json.dumps({**DRAFT, "price": 890}, indent=2))
    page.get_by_role("button", name="Changes").click()
    changes = page.get_by_role("region", name="Changes against what is kept")
    expect(changes.locator(".is-gone")).to_contain_text("990")
    expect(changes.locator(".is-new")).to_contain_text("890")
    page.get_by_test_id("send").click()
    expect(page.get_by_test_id("task-state")).to_have_attribute("data-state", "completed")


def test_the_difference_leads_from_one_text_to_the_other(visit: Visit, ada: Person) -> None:
    """What is shown as changed, and nothing else, was changed."""
    draw, page = random.Random(SEED), visit(ada, "desk")
    for _ in range(60):
        before, after = ([draw.choice("abc") for _ in range(draw.randrange(1, 7))] for _ in "12")
        lines = page.evaluate(COMPARED, ["\n".join(before), "\n".join(after)])
        if any(line["kind"] == "skip" for line in lines):
            continue
        assert [each["text"] for each in lines if each["kind"] != "new"] == before
        assert [each["text"] for each in lines if each["kind"] != "gone"] == after


def test_a_result_that_is_one_text_is_amended_as_text(
    visit: Visit, bed: Bed, ada: Person, tenant: str
) -> None:
    """The issue: "a page that people like to use": a letter is not written with escapes in it."""
    said = 'Dear Ms Okafor,\n\nyou are "right".'
    task = bed.submit(tenant, input={"says": said, "confidence": 0.4})
    page = visit(ada, f"desk/{bed.letter_of(task)}")
    page.get_by_test_id("verb-amend").click()
    prose = page.get_by_test_id("editor-prose")
    expect(prose).to_be_focused()
    expect(prose).to_have_value(said)
    prose.fill(f"{said}\n\nYours")
    page.get_by_role("button", name="JSON").click()
    expect(page.get_by_test_id("editor")).to_have_value(json.dumps(f"{said}\n\nYours"))
    page.get_by_role("button", name="Changes").click()
    expect(page.locator(".diff .is-new")).to_have_count(2)
    page.get_by_role("button", name="Text", exact=True).click()
    page.get_by_test_id("send").click()
    expect(page.get_by_test_id("after")).to_contain_text("You amended this.")
    assert task.wait(WITHIN_S).result == f"{said}\n\nYours"
