"""Bearer tokens, sessions and login codes: what is kept, what passes, and for how long."""

import subprocess
from pathlib import Path

import pytest

from envelopes import Refused, limits
from envelopes.keys import Keys
from orchestrator.login import link
from orchestrator.settings import person
from orchestrator.tokens import Credential, NoRoom, Scope, Tokens, id_of
from tests.conftest import Fresh
from tests.typed import Said, typed

HOME = "10.0.0.7"


@pytest.fixture
def tokens(fresh: Fresh) -> Tokens:
    return Tokens(fresh.client, fresh.keys)


def shown(text: str) -> Credential:
    found = Credential.token(text)
    assert found is not None
    return found


def test_a_token_is_hashed_at_rest(fresh: Fresh, tokens: Tokens) -> None:
    """The issue: "Bearer tokens with scopes, hashed at rest"."""
    text = tokens.new("ci", [Scope.READ])
    secret = text.split("_", 2)[2]
    kept = b"".join(
        str(fresh.client.dump(key)).encode() + b"".join(fresh.client.hvals(key))
        for key in fresh.client.keys("*")
    )
    assert secret.encode() not in kept
    found = tokens.authenticate(shown(text), HOME).token
    assert found is not None
    assert (found.name, found.scopes, found.id) == ("ci", (Scope.READ,), id_of(text))
    assert "hash" not in found.as_json()


def test_nothing_but_the_whole_token_passes(tokens: Tokens) -> None:
    text = tokens.new("ci", [Scope.READ])
    other = tokens.new("other", [Scope.READ])
    mixed = f"bk_{id_of(text)}_{other.split('_', 2)[2]}"
    last = "A" if text[-1] != "A" else "B"
    assert tokens.authenticate(shown(mixed), HOME).token is None
    assert tokens.authenticate(shown(text[:-1] + last), HOME).token is None
    for wrong in ("", "bk_", text[:-1], text + "A", text.upper(), f" {text}", text + "\n"):
        assert Credential.token(wrong) is None


def test_a_revoked_token_ends_with_its_sessions_and_codes(tokens: Tokens) -> None:
    """docs/HTTP.md: "a revoked token ends its sessions"."""
    text = tokens.new("ada", [Scope.ADMIN])
    _, cookie = tokens.open_session(shown(text), HOME)
    code = tokens.login_code(id_of(text))
    assert tokens.authenticate(Credential.session(cookie), HOME).token is not None
    assert tokens.revoke(id_of(text))
    assert not tokens.revoke(id_of(text))
    assert tokens.authenticate(shown(text), HOME).token is None
    assert tokens.authenticate(Credential.session(cookie), HOME).token is None
    assert tokens.open_session(Credential.code(code), HOME)[0].token is None


def test_a_token_whose_time_is_over_passes_no_more(fresh: Fresh, tokens: Tokens) -> None:
    text = tokens.new("ada", [Scope.READ], days=1)
    one = tokens.find(id_of(text))
    assert one is not None
    assert one.expires_ms == one.created_ms + 24 * 3_600_000
    over = one.model_copy(update={"expires_ms": 1})
    fresh.client.hset(fresh.keys.tokens, one.id, over.kept())
    assert tokens.authenticate(shown(text), HOME).token is None


def test_a_login_code_is_good_for_once(fresh: Fresh, tokens: Tokens) -> None:
    """docs/HTTP.md: "lasts 10 min, for one use"."""
    text = tokens.new("ada", [Scope.ADMIN])
    code = tokens.login_code(id_of(text))
    (key,) = fresh.client.keys(fresh.keys.code("*"))
    assert 0 < fresh.client.ttl(key) <= limits.LOGIN_CODE_S
    first, cookie = tokens.open_session(Credential.code(code), HOME)
    assert first.token is not None
    assert tokens.open_session(Credential.code(code), HOME)[0].token is None
    seen = tokens.authenticate(Credential.session(cookie), HOME).token
    assert seen is not None
    assert seen.id == id_of(text)


def test_logging_out_ends_that_session_only(tokens: Tokens) -> None:
    text = tokens.new("ada", [Scope.ADMIN])
    _, one = tokens.open_session(shown(text), HOME)
    _, other = tokens.open_session(shown(text), HOME)
    assert one != other
    assert tokens.close_session(one)
    assert not tokens.close_session(one)
    assert tokens.authenticate(Credential.session(one), HOME).token is None
    assert tokens.authenticate(Credential.session(other), HOME).token is not None


def test_a_session_ends_by_itself(fresh: Fresh, tokens: Tokens) -> None:
    """docs/HTTP.md: "A session lasts 12 h"."""
    tokens.open_session(shown(tokens.new("ada", [Scope.ADMIN])), HOME)
    (key,) = fresh.client.keys(fresh.keys.session("*"))
    assert 0 < fresh.client.pttl(key) <= limits.SESSION_MS


def test_a_token_may_call_in_bursts_but_not_for_ever(tokens: Tokens) -> None:
    """The issue: "rate limit per token"; a call that may not be made costs nothing."""
    text = tokens.new("ci", [Scope.READ], per_minute=3)
    other = tokens.new("other", [Scope.READ], per_minute=3)
    answers = [tokens.authenticate(shown(text), HOME) for _ in range(5)]
    assert [bool(one.wait_ms) for one in answers] == [False] * 3 + [True] * 2
    assert all(one.token is not None for one in answers)
    assert 0 < answers[-1].wait_ms <= 20_000
    assert tokens.authenticate(shown(other), HOME).wait_ms == 0


@pytest.mark.parametrize(
    ("per_minute", "at_once"), [(1, 1), (60_000, limits.TOKEN_BURST)], ids=["slow", "fast"]
)
def test_what_may_come_at_once_is_never_more_than_a_minutes(
    fresh: Fresh, tokens: Tokens, per_minute: int, at_once: int
) -> None:
    """docs/HTTP.md: "so many calls a minute, 100 of them at once at most"."""
    text = tokens.new("ci", [Scope.READ], per_minute=per_minute)
    key = fresh.keys.rate(id_of(text))
    now_ms = fresh.client.time()[0] * 1000
    slice_ms = 60_000 / per_minute
    fresh.client.set(key, now_ms + slice_ms * (at_once - 1) - 1_000)
    assert tokens.authenticate(shown(text), HOME).wait_ms == 0
    fresh.client.set(key, now_ms + slice_ms * at_once + 30_000)
    assert tokens.authenticate(shown(text), HOME).wait_ms > 0


def test_a_login_by_a_token_is_a_call_of_it(fresh: Fresh, tokens: Tokens) -> None:
    """Whoever has any token could else fill the server with sessions, and work would stop."""
    text = tokens.new("ci", [Scope.READ], per_minute=3)
    logins = [tokens.open_session(shown(text), HOME)[0] for _ in range(5)]
    assert [bool(one.wait_ms) for one in logins] == [False] * 3 + [True] * 2
    assert len(fresh.client.keys(fresh.keys.session("*"))) == 3
    assert tokens.authenticate(shown(text), HOME).wait_ms > 0


def test_whoever_guesses_is_told_to_wait_and_locks_nobody_out(tokens: Tokens) -> None:
    """docs/HTTP.md: "Failed authentications are bounded too"."""
    text = tokens.new("ci", [Scope.READ])
    wrong = Credential("token", id_of(text), "0" * 64)
    waits = [tokens.authenticate(wrong, HOME).wait_ms for _ in range(limits.FAILED_LOGINS_MAX + 1)]
    assert [bool(each) for each in waits] == [False] * limits.FAILED_LOGINS_MAX + [True]
    assert waits[-1] <= limits.FAILED_LOGINS_MS
    assert tokens.authenticate(wrong, "10.0.0.8").wait_ms == 0
    right = tokens.authenticate(shown(text), HOME)
    assert (right.token is not None, right.wait_ms) == (True, 0)


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"name": ""}, "name"),
        ({"name": "a\nb"}, "name"),
        ({"name": "ada\u202eecila"}, "name"),
        ({"name": "ada\u200b"}, "name"),
        ({"name": " ada"}, "name"),
        ({"name": "a  b"}, "name"),
        ({"name": "a" * 65}, "name"),
        ({"name": "\ud800"}, "name"),
        ({"name": "ada\u3164"}, "name"),
        ({"name": "ad\ufe0fa"}, "name"),
        ({"name": "\uff41da"}, "name"),
        ({"name": "\u0430da"}, "name"),
        ({"name": "ad\u03b1"}, "name"),
        ({"name": "\u1fbcda"}, "name"),
        ({"name": "Nobody"}, "name"),
        ({"name": "defau1t"}, "name"),
        ({"scopes": []}, "scopes"),
        ({"tenant": "a b"}, "tenant"),
        ({"tenant": "north", "scopes": [Scope.ADMIN]}, "tenant"),
        ({"days": 0}, "days"),
        ({"per_minute": 0}, "per_minute"),
    ],
)
def test_a_token_that_makes_no_sense_is_refused_by_field(
    tokens: Tokens, fields: dict, field: str
) -> None:
    """Its name stands in records as who decided: nothing in it is unseen or turned around."""
    wanted = {"name": "ci", "scopes": [Scope.READ], **fields}
    with pytest.raises(Refused) as refused:
        tokens.new(wanted.pop("name"), wanted.pop("scopes"), **wanted)
    assert refused.value.field == field
    assert tokens.list() == []


NAMES = [
    *("ada", "Jürgen M.", "李雷 Lei", "東京タワーA", "Ада Smith", "o'neil@example.org", "a" * 64),
    *("น้ำฝน", "ຄຳ", "محمد علي", "Γιώργος", "דָּוִד", "Nguyễn", "हिन्दी", "김철수", "Łukasz"),
]


@pytest.mark.parametrize("name", NAMES)
def test_people_are_called_as_they_are(tokens: Tokens, name: str) -> None:
    found = tokens.find(id_of(tokens.new(name, [Scope.READ])))
    assert found is not None
    assert found.name == name


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("ada", "\u0430\u0501\u0430"),
        ("ada", "\u0251da"),
        ("alice", "aIice"),
        ("node0", "nodeO"),
        ("Bern", "Bem"),
        ("น้ำ", "น้\u0e4d\u0e32"),
    ],
)
def test_nobody_decides_under_a_name_that_reads_as_anothers(
    tokens: Tokens, one: str, other: str
) -> None:
    """DESIGN: `by` is the token's name; a person reads who decided, and must not be misled."""
    tokens.new(one, [Scope.DECIDE])
    with pytest.raises(Refused, match=f"looks like {one!r}"):
        tokens.new(other, [Scope.DECIDE])


def test_names_that_differ_to_the_eye_and_the_same_name_again_are_taken(tokens: Tokens) -> None:
    """Several tokens of one person bear one name."""
    for name in ("ada", "ada", "Ada", "a da", "adam"):
        tokens.new(name, [Scope.DECIDE])
    assert len(tokens.list()) == 5


@pytest.mark.parametrize(
    ("user", "called"), [("ada", "ada"), ("nobody", "user nobody"), ("default", "user default")]
)
def test_a_machines_user_nobody_is_not_taken_for_the_default(
    tokens: Tokens, monkeypatch: pytest.MonkeyPatch, user: str, called: str
) -> None:
    """A container often runs as `nobody`: its person logs in, and their decisions are theirs."""
    monkeypatch.setenv("LOGNAME", user)
    assert person() == called
    assert "#code=" in link(tokens, "http://desk/", person())


def test_an_accent_is_one_letter_however_it_was_typed(tokens: Tokens) -> None:
    """Two names that look the same are the same."""
    (one, other) = (tokens.new(name, [Scope.READ]) for name in ("Ren\u00e9", "Rene\u0301"))
    assert {tokens.find(id_of(each)).name for each in (one, other)} == {"Ren\u00e9"}  # type: ignore[union-attr]


def test_a_token_whose_name_was_given_before_still_lets_in(fresh: Fresh, tokens: Tokens) -> None:
    """House rule: an upgrade locks nobody out."""
    text = tokens.new("ada", [Scope.READ])
    known = tokens.find(id_of(text))
    assert known is not None
    tokens.keep(known.model_copy(update={"name": "\u0430da"}))
    found = tokens.authenticate(shown(text), HOME).token
    assert found is not None
    assert found.name == "\u0430da"


def test_there_are_only_so_many_tokens(fresh: Fresh, tokens: Tokens) -> None:
    fresh.client.hset(fresh.keys.tokens, mapping={f"x{n}": "{}" for n in range(limits.TOKENS_MAX)})
    with pytest.raises(NoRoom, match="revoke some first"):
        tokens.new("one more", [Scope.READ])


def test_a_token_made_beforehand_is_the_same_one_however_often_it_is_made(tokens: Tokens) -> None:
    """docs/how-to/monitoring.md: "made again it is the same token"."""
    text = f"bk_{'0a' * 6}_{'x' * 43}"
    assert tokens.new("prometheus", [Scope.READ], text=text) == text
    assert tokens.new("prometheus", [Scope.METRICS], text=text) == text
    (kept,) = tokens.list()
    assert (kept.id, kept.scopes) == ("0a" * 6, (Scope.METRICS,))
    found = tokens.authenticate(shown(text), HOME).token
    assert found is not None
    assert not found.may(Scope.READ)
    for other in (f"bk_{'0a' * 6}_{'y' * 43}", "bk_0a_x", f"bk_{'0A' * 6}_{'x' * 43}"):
        with pytest.raises(Refused):
            tokens.new("thief", [Scope.ADMIN], text=other)
    assert tokens.list() == [kept]


def test_the_command_line_makes_lists_and_revokes(fresh: Fresh, tmp_path: Path) -> None:
    """The issue: "`buckstop token new --scope ...`"."""

    def buckstop(*words: str) -> Said:
        named = {"BUCKSTOP_URL": fresh.url, "BUCKSTOP_PREFIX": "cli:"}
        return typed(tmp_path, "token", *words, **named)

    tokens = Tokens(fresh.client, Keys("cli:"))
    text = buckstop("new", "ci", "--scope", "submit", "--scope", "read").out.strip()
    found = tokens.authenticate(shown(text), HOME).token
    assert found is not None
    assert found.scopes == (Scope.SUBMIT, Scope.READ)
    listed = buckstop("list", "--json").json
    assert [one["name"] for one in listed] == ["ci"]
    assert text.split("_", 2)[2] not in buckstop("list").out
    secret = tmp_path / "prometheus_token"
    subprocess.run(["sh", "deploy/make-secrets.sh", tmp_path], check=True, capture_output=True)
    for _ in range(2):
        said = buckstop("new", "prom", "--scope", "metrics", "--from-file", str(secret))
        assert secret.read_text().strip() not in said.out + said.err
    scraper = tokens.authenticate(shown(secret.read_text().strip()), HOME).token
    assert scraper is not None
    assert scraper.scopes == (Scope.METRICS,)
    assert buckstop("revoke", id_of(text)).code == 0
    again = buckstop("revoke", id_of(text))
    assert (again.code, "buckstop token list" in again.err) == (4, True)
    refused = buckstop("new", "x", "--scope", "admin", "--tenant", "north")
    assert (refused.code, "tenant" in refused.err) == (2, True)
