"""Who may look: tokens, links that log in once, what ends a session, and what a stranger can do."""

import pytest
from playwright.sync_api import Locator, Page, expect

from orchestrator.tokens import Scope
from tests.browser.bed import Bed, Person
from tests.browser.conftest import Visit
from tests.browser.keys import typed

STRANGER = "http://127.0.0.1:65001"
"""Another port of the same host: to SameSite the same site, so the cookie is sent."""


def tasks_shown(page: Page) -> None:
    expect(page.get_by_role("heading", name="Tasks", level=1)).to_be_visible()


def door(page: Page) -> Locator:
    return page.get_by_label("Token", exact=True)


def door_shown(page: Page) -> None:
    expect(door(page)).to_be_visible()


def test_a_token_logs_in_and_is_kept_nowhere_in_the_page(visit: Visit, ada: Person) -> None:
    """The issue: "Login"; docs/HTTP.md: "HttpOnly, SameSite=Strict"."""
    page = visit(None)
    page.get_by_label("Token", exact=True).fill(ada.token)
    page.get_by_role("button", name="Log in").click()
    tasks_shown(page)
    [cookie] = page.context.cookies()
    assert (cookie["httpOnly"], cookie["sameSite"]) == (True, "Strict")
    kept = page.evaluate(
        "JSON.stringify([{...localStorage}, {...sessionStorage}, document.cookie])"
    )
    assert ada.token not in kept
    assert ada.token.split("_")[2] not in page.content()


def test_a_link_logs_in_once_and_its_code_is_gone_from_the_address(
    visit: Visit, bed: Bed, ada: Person
) -> None:
    """docs/HTTP.md: "for one use; it stands in the link's fragment: never in a log"."""
    code = bed.tokens.login_code(ada.token_id)
    page = visit(None, f"#code={code}")
    tasks_shown(page)
    assert code not in page.url
    second = visit(None, f"#code={code}")
    expect(second.get_by_role("alert")).to_contain_text("does not log in any more")
    expect(second.get_by_role("alert")).to_contain_text("Make a new one with “buckstop console”")
    door_shown(second)
    assert code not in bed.log("http-1")


def test_a_wrong_token_says_so_and_stays_at_the_door(visit: Visit, ada: Person) -> None:
    """House rule: every message says what happened, why, and what to do next."""
    page = visit(None, "desk")
    page.get_by_label("Token", exact=True).fill(ada.token[:-4] + "AAAA")
    page.get_by_label("Token", exact=True).press("Enter")
    expect(page.get_by_role("alert")).to_contain_text("buckstop token new")
    door_shown(page)
    page.get_by_label("Token", exact=True).fill(ada.token)
    page.get_by_label("Token", exact=True).press("Enter")
    expect(page.get_by_role("heading", name="Desk", level=1)).to_be_visible()


def test_a_revoked_token_ends_its_sessions(visit: Visit, bed: Bed, ada: Person) -> None:
    """docs/HTTP.md: "a revoked token ends its sessions"; the open page says so."""
    page = visit(ada, "tasks")
    tasks_shown(page)
    bed.tokens.revoke(ada.token_id)
    typed(page, "gd", door(page))  # the next thing read, if the stream has not told it already


def test_logging_out_ends_the_session_on_the_server_too(visit: Visit, ada: Person) -> None:
    """The issue: "Login"; what is taken back is taken back on both sides."""
    page = visit(ada, "tasks")
    tasks_shown(page)
    [cookie] = page.context.cookies()
    page.get_by_role("button", name="Log out").click()
    door_shown(page)
    page.context.add_cookies([cookie])
    page.goto("/tasks")
    door_shown(page)


def test_one_tab_that_logs_out_takes_the_others_along(visit: Visit, ada: Person) -> None:
    """Several tabs are one session: none goes on when it is over."""
    page = visit(ada, "tasks")
    other = page.context.new_page()
    other.goto("/tasks")
    tasks_shown(other)
    page.get_by_role("button", name="Log out").click()
    door_shown(page)
    typed(other, "gd", door(other))


FORM = """<form method="post" enctype="text/plain" action="{to}">
<input name='{{"verb": "abort", "by": "' value='"}}'></form><button>Win a prize</button>
<script>document.querySelector('button').onclick = () => document.querySelector('form').submit()
</script>"""
FETCH = """([to, type]) => fetch(to, {method: 'POST', mode: 'no-cors', credentials: 'include',
    headers: {'Content-Type': type}, body: '{"verb": "abort"}'}).then(() => 'sent', () => 'refused')
"""


@pytest.mark.parametrize("origin", [STRANGER, "http://stranger.example"])
def test_a_page_of_somebody_else_cannot_decide(
    visit: Visit, bed: Bed, ada: Person, tenant: str, origin: str
) -> None:
    """The issue: "CSRF protection"; a stranger's form, fetch and click change nothing."""
    letter = bed.escalated(tenant)
    page = visit(ada, "desk")
    target = f"{bed.url}/v1/letters/{letter}/decision"
    page.route(
        f"{origin}/*",
        lambda route: route.fulfill(body=FORM.format(to=target), content_type="text/html"),
    )
    page.goto(f"{origin}/prize")
    for kind in ("text/plain", "application/x-www-form-urlencoded"):
        page.evaluate(FETCH, [target, kind])
    with page.expect_response(target) as answered:
        page.get_by_role("button", name="Win a prize").click()
    assert answered.value.status in {401, 403}
    assert bed.buckstop.letter(letter)["state"] == "open"


def test_the_sessions_cookie_alone_does_not_decide(
    visit: Visit, bed: Bed, ada: Person, tenant: str
) -> None:
    """docs/HTTP.md: "needs the header `X-CSRF-Token`"."""
    letter = bed.escalated(tenant)
    page = visit(ada, "desk")
    own = page.request.get("/session").json()["csrf"]
    path = f"/v1/letters/{letter}/decision"
    for headers in (
        {"Origin": bed.url},
        {"Origin": bed.url, "X-CSRF-Token": "0" * 64},
        {"Origin": STRANGER, "X-CSRF-Token": own},
        {"X-CSRF-Token": own},
    ):
        said = page.request.post(path, data={"verb": "abort"}, headers=headers)
        assert (said.status, said.json()["type"]) == (403, "urn:buckstop:problem:csrf")
    assert bed.buckstop.letter(letter)["state"] == "open"
    ok = {"Origin": bed.url, "X-CSRF-Token": own}
    assert page.request.post(path, data={"verb": "abort"}, headers=ok).ok


def test_whoever_may_only_read_is_offered_no_decision(visit: Visit, bed: Bed, tenant: str) -> None:
    """docs/HTTP.md: "Scopes": what somebody may not do, the page does not offer."""
    letter = bed.escalated(tenant)
    page = visit(bed.person("rita", Scope.READ, tenant=tenant), f"desk/{letter}")
    expect(page.get_by_role("heading", level=1)).to_be_visible()
    expect(page.get_by_role("button", name="Approve")).to_have_count(0)
