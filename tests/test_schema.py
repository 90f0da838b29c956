"""A caller's JSON Schema: judged as the standard says, in bounded work, and never fetched."""

import http.server
import json
import threading
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from jsonschema import Draft7Validator, Draft202012Validator

from envelopes import limits
from envelopes.strict import Refused
from orchestrator import intake
from orchestrator.core.schema import misfit, misfits, refuse_misshapen
from orchestrator.core.schema.run import Exhausted, Run

OLD = "http://json-schema.org/draft-07/schema#"


def judged(schema: Any, found: Any) -> str | None:
    return misfit(json.dumps(schema), json.dumps(found))


# --- the same as everybody else -------------------------------------------------------------------

NAMES = st.sampled_from(["a", "b", "ab", "c"])
LEAF = st.one_of(
    st.none(), st.booleans(), st.integers(-3, 5), st.sampled_from([1.0, 2.5, 0.0, -1.0]),
    st.sampled_from(["", "a", "ab", "abc", "ä"]),
)  # fmt: skip
VALUE = st.recursive(
    LEAF,
    lambda v: st.lists(v, max_size=4) | st.dictionaries(NAMES, v, max_size=4),
    max_leaves=8,
)
TYPES = st.sampled_from(["null", "boolean", "object", "array", "string", "number", "integer"])
PATTERN = st.sampled_from(["a", "^a", "b$", "^[ab]+$", "c?"])
SMALL = st.integers(0, 3)
SIZES = (
    *("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "minLength", "maxLength"),
    *("minItems", "maxItems", "minProperties", "maxProperties"),
)
PARTS = (
    *("additionalProperties", "items", "not", "propertyNames", "contains"),
    *("unevaluatedProperties", "unevaluatedItems"),
)


def one(name: str, of: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    return of.map(lambda value: {name: value})


BASE = st.one_of(
    st.booleans(),
    one("type", TYPES | st.lists(TYPES, min_size=1, max_size=3, unique=True)),
    one("const", VALUE),
    one("enum", st.lists(VALUE, min_size=1, max_size=3)),
    st.sampled_from(SIZES).flatmap(lambda name: one(name, SMALL)),
    one("multipleOf", st.sampled_from([1, 2, 0.5, 2.5])),
    one("pattern", PATTERN),
    one("required", st.lists(NAMES, max_size=2, unique=True)),
    one("uniqueItems", st.booleans()),
    one("$ref", st.sampled_from(["#/$defs/x", "#/$defs/y%7E"])),
    one("dependentRequired", st.dictionaries(NAMES, st.lists(NAMES, unique=True), max_size=2)),
)


def larger(part: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    listed = st.lists(part, min_size=1, max_size=3)
    named = st.dictionaries(NAMES, part, max_size=3)
    grown = st.one_of(
        st.sampled_from(PARTS).flatmap(lambda name: one(name, part)),
        st.sampled_from(["allOf", "anyOf", "oneOf", "prefixItems"]).flatmap(
            lambda name: one(name, listed)
        ),
        st.sampled_from(["properties", "dependentSchemas", "dependencies"]).flatmap(
            lambda name: one(name, named)
        ),
        one("patternProperties", st.dictionaries(PATTERN, part, max_size=2)),
        st.fixed_dictionaries({"if": part, "then": part, "else": part}),
        st.fixed_dictionaries({"contains": part, "minContains": SMALL, "maxContains": SMALL}),
    )
    several = st.lists(grown | part, min_size=1, max_size=4)
    return several.map(
        lambda parts: {k: v for p in parts if p not in (True, False) for k, v in p.items()}
    )


SCHEMA = st.recursive(BASE, larger, max_leaves=10)
UNKNOWN_IN_OLD = ("minContains", "prefixItems")


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(SCHEMA, SCHEMA, SCHEMA, VALUE, st.sampled_from(["", OLD]))
def test_a_result_is_judged_as_the_reference_implementation_judges_it(
    schema: Any, x: Any, y: Any, found: Any, dialect: str
) -> None:
    """ARCHITECTURE: a schema of our own evaluation means what JSON Schema means."""
    assume("$ref" not in json.dumps([x, y]))  # a loop is judged by how deep one's stack is
    whole = {"allOf": [schema], "$defs": {"x": x, "y~": y}} | ({"$schema": OLD} if dialect else {})
    theirs = (Draft7Validator if dialect else Draft202012Validator)(whole)
    wrong = judged(whole, found)
    assert (wrong is None) == theirs.is_valid(found), wrong
    assert bool(misfits(json.dumps(whole), json.dumps(found))) == bool(wrong)
    refuse_misshapen("result_schema", whole)


@pytest.mark.parametrize(
    ("schema", "found", "says"),
    [
        ({"required": ["price"]}, {}, "'price' is a required property"),
        ({"properties": {"a b": {"type": "string"}}}, {"a b": 1}, "at $['a b']: 1 is not of type"),
        ({"items": {"enum": ["x"]}}, ["x", True], "at $[1]: true is not one of 'x'"),
        ({"multipleOf": 0.1}, 0.35, "0.35 is not a multiple of 0.1"),
        ({"uniqueItems": True}, [{"a": 1}, {"a": 1.0}], "twice"),
        ({"anyOf": [{"type": "null"}, {"properties": {"a": {"const": 1}}}]}, {"a": 2},
         "at $.a: 1 was expected, not 2"),
        ({"additionalProperties": False}, {"x" * 200: 1}, "…"),
        ({"$ref": "#there", "$defs": {"a": {"$anchor": "there", "type": "null"}}}, 1, "null"),
        ({"$dynamicRef": "#t", "x": [{"$dynamicAnchor": "t", "maximum": 1}]}, 2, "at most 1"),
        ({"$ref": "#/$defs/%C3%A4", "$defs": {"ä": {"maxLength": 1}}}, "ab", "2 characters"),
        ({"$schema": OLD, "items": [{}], "additionalItems": False}, [1, 2], "nothing is allowed"),
        ({"$schema": "https://json-schema.org/draft/2019-09/schema", "$recursiveRef": "#/x",
          "x": {"minimum": 3}}, 1, "at least 3"),
        ({"$schema": "https://json-schema.org/draft/2019-09/schema", "additionalItems": {},
          "unevaluatedItems": {"minimum": 3}}, [1], "at least 3"),
    ],
    ids=str,
)  # fmt: skip
def test_a_misfit_says_where_and_what(schema: Any, found: Any, says: str) -> None:
    """STYLE: «every message a person reads says what happened, why, and what to do next»."""
    assert says in str(judged(schema, found))


def test_exact_numbers_are_told_from_those_that_only_seem_so() -> None:
    """0.3 is three times 0.1, to whoever wrote it; and no number is too large to be told so."""
    assert judged({"multipleOf": 0.1}, 0.3) is None
    assert judged({"multipleOf": 5e-324}, 10**300) is None
    assert judged({"type": "integer", "const": 10**20}, 1e20) is None


# --- patterns -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("pattern", "text", "there"),
    [
        (r"^(a+)+$", "a" * 40 + "b", False),
        (r"^(a|a)*$", "a" * 100_000, True),
        (r"^\d{4}-\d{2}$", "2026-11", True),
        (r"^\d$", "٣", False),
        (r"^[\u4e00-\u9fff]+$", "漢字", True),
        (r"^\ud83d\ude00$", "😀", True),
        (r"^\u{1F600}$", "😀", True),
        (r"^\\u0041$", r"\u0041", True),
        (r"^\p{Lu}$", "Ä", True),
        (r"^a$", "a\n", False),
        (r"b", "abc", True),
        (r"^\S+$", "a\u00a0b", False),
        (r"^[^\s-x]+$", "a\u2003b", False),
        (r"^[\S\n]+$", "ä\n😀", True),
        (r"^[\S\n]+$", "a\u3000b", False),
        (r"^\s{3}$", "\v\ufeff\t", True),
        (r"^[\\s]$", "s", True),
        (r"^[[:digit:]]$", "d]", True),
        (r"^[^][\][-]$", "x]", True),
        (r"[]", "", False),
    ],
)
def test_a_pattern_is_searched_as_javascript_does_it(pattern: str, text: str, there: Any) -> None:
    """JSON Schema's patterns are JavaScript's; and no text makes a search take for ever."""
    assert (judged({"pattern": pattern}, text) is None) == there


@pytest.mark.parametrize(
    ("pattern", "says"),
    [
        (r"^(?=.*\d).+$", "look-around"),
        (r"(?<!a)b", "look-around"),
        (r"(a)\1", "reference back"),
        (r"a{1001}", "1,000 repetitions"),
        (r"(\p{L}{50}){20}", "too large"),
        (r"(", "missing )"),
        ("a" * 2001, "2,001 characters"),
    ],
)
@pytest.mark.parametrize("where", ["pattern", "patternProperties"])
def test_a_pattern_that_cannot_be_searched_in_bounded_time_is_refused_at_submit(
    pattern: str, says: str, where: str
) -> None:
    """«What it cannot compile is refused naming the field and saying why»."""
    part = {"pattern": pattern} if where == "pattern" else {"patternProperties": {pattern: {}}}
    with pytest.raises(Refused, match=where) as refused:
        refuse_misshapen("result_schema", {"properties": {"url": part}})
    assert refused.value.field == "result_schema"
    assert f"at /properties/url/{where}: " in refused.value.why
    assert says in refused.value.why


# --- a bound of work ------------------------------------------------------------------------------


def doubled(name: str) -> dict[str, Any]:
    """Let a schema try the next one twice, forty times over."""
    twice: dict[str, Any] = {
        f"d{n}": {name: [{"$ref": f"#/$defs/d{n + 1}"}] * 2} for n in range(40)
    }
    return {"$ref": "#/$defs/d0", "$defs": {**twice, "d40": {"type": "string"}}}


UNEVALUATED = {
    "$ref": "#/$defs/d0",
    "$defs": {
        **{
            f"d{n}": {"allOf": [{"$ref": f"#/$defs/d{n + 1}"}] * 2, "unevaluatedProperties": True}
            for n in range(40)
        },
        "d40": {"properties": {"a": {}}},
    },
}
NAMED = {"items": {"properties": {f"k{n}": {} for n in range(8_000)}}}
BLOW_UPS = {
    "anyOf": (doubled("anyOf"), 1),
    "allOf": (doubled("allOf"), "x"),
    "oneOf": (doubled("oneOf"), 1),
    "unevaluated": (UNEVALUATED, {"a": 1}),
    "names by names": (NAMED, [{}] * 40_000),
    "nothing by much": ({"items": {"allOf": [{}] * 30_000}}, [1] * 60_000),
    "true by much": ({"items": {"allOf": [True] * 20_000}}, [1] * 300),
    "false by much": ({"items": {"anyOf": [*[False] * 20_000, True]}}, [1] * 100),
    "names by true": (
        {"allOf": [{"propertyNames": True}] * 500}, {f"a{n}": 1 for n in range(9_000)}),
    "fields by true": (
        {"allOf": [{"additionalProperties": True}] * 500}, {f"a{n}": 1 for n in range(9_000)}),
    "enum by items": ({"items": {"enum": [[0] * 1_000]}}, [[0] * 1_000] * 500),
    "patterns by names": (
        {"patternProperties": {f"(x|y)*{n}$": {} for n in range(100)}},
        {"x" * 50 + str(n): 1 for n in range(2_000)}),
    "machine by text": ({"items": {"pattern": "(?:a?){900}a{900}c"}}, ["a" * 100_000] * 9),
    "twice among many": ({"uniqueItems": True}, [[n] for n in range(250_000)]),
    "contains": ({"contains": {"contains": {"const": 3}}, "minContains": 900}, [[1] * 400] * 500),
    "const of fields": (
        {"allOf": [{"not": {"const": 1}}] * 900}, {f"a{n}": 1 for n in range(14_000)}),
    "const of digits": ({"allOf": [{"not": {"const": 1}}] * 900}, [1e300] * 2_000),
    "const": ({"allOf": [{"$ref": "#/x"}] * 5_000, "x": {"const": [1] * 20_000}}, [1] * 20_000),
}  # fmt: skip


@pytest.mark.parametrize("name", BLOW_UPS)
def test_a_check_that_would_take_for_ever_is_ended_with_a_reason(name: str) -> None:
    """No caller stops an orchestrator: work is bounded, by steps and not by the clock."""
    schema, found = BLOW_UPS[name]
    refuse_misshapen("result_schema", schema)  # it looks like any other
    said = judged(schema, found)
    assert "steps to check" in str(said) or "one item" in str(said) or "are wanted" in str(said)


def test_the_same_text_takes_the_same_steps_wherever_it_is_judged() -> None:
    """The core is pure: what a check may take is counted, so every orchestrator says the same."""
    schema, found = BLOW_UPS["oneOf"]
    again = misfit(json.dumps(schema), f" {found}")  # another text, so nothing is remembered
    assert again == judged(schema, found)


def test_what_was_found_until_the_steps_were_used_up_is_told() -> None:
    """A result that breaks the schema at its first field breaks it, whatever comes later."""
    schema = {"properties": {"a": {"type": "null"}}, "allOf": [doubled("anyOf")]}
    schema |= {"$defs": doubled("anyOf")["$defs"]}
    assert "at $.a: 1 is not of type 'null'" in str(judged(schema, {"a": 1}))


def test_numbers_of_one_hash_are_told_apart_without_comparing_each_with_each() -> None:
    """A set of numbers that all have the same hash takes the square of their number."""
    clashing = [n * (2**61 - 1) for n in range(1, 6_000)]
    assert len({hash(each) for each in clashing}) == 1
    assert judged({"uniqueItems": True}, clashing) is None


def test_steps_are_counted_down_and_never_up() -> None:
    run = Run({})
    run.spend(limits.SCHEMA_STEPS_MAX)
    with pytest.raises(Exhausted):
        run.spend(1)


@pytest.mark.parametrize("schema", [{"$ref": "#"}, {"anyOf": [{"$ref": "#"}, {"$ref": "#"}]}])
def test_a_schema_that_refers_to_itself_for_ever_cannot_be_applied(schema: Any) -> None:
    """The library that was used before left by an exception that is none (a Rust panic)."""
    assert "refers to itself" in str(judged(schema, 1))


def test_a_result_too_large_to_be_checked_is_said_to_be() -> None:
    text = json.dumps("x" * limits.RESULT_CHARS_MAX)
    assert "pass larger work by reference" in str(misfit("{}", text))


# --- nothing is fetched ---------------------------------------------------------------------------


@pytest.fixture
def elsewhere() -> Any:
    """Serve a schema, and remember who asked for it."""
    asked: list[str] = []

    class Page(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"{}")

        def log_message(self, *args: Any) -> None:
            """Say nothing."""

    server = http.server.HTTPServer(("127.0.0.1", 0), Page)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/schema", asked
    server.shutdown()
    server.server_close()


def test_nothing_is_ever_fetched_whatever_a_schema_says(elsewhere: Any) -> None:
    """An orchestrator that fetches what a caller names is a door into the network behind it."""
    url, asked = elsewhere
    hidden = {"$ref": "#/x/y", "x": {"y": {"properties": {"a": {"$id": url, "$ref": "#"}}}}}
    for schema in (hidden, {"$ref": url}, {"$dynamicRef": url}, {"$id": url, "$ref": "other"}):
        judged(schema, {"a": 1})
    assert asked == []


@pytest.mark.parametrize(
    ("schema", "says"),
    [
        ({"$ref": "http://x/y"}, "outside"),
        ({"$ref": "#/$defs/nothing"}, "points to nothing"),
        ({"properties": {"a": {"$id": "http://x/y"}}}, "only the schema as a whole"),
        ({"allOf": [{"$schema": OLD}]}, "only the schema as a whole"),
        ({"$schema": "http://json-schema.org/draft-03/schema"}, "none of 2020-12"),
        ({"minLength": -1}, "at /minLength: a whole number"),
        ({"multipleOf": 0}, "above 0"),
        ({"required": "a"}, "a list of names"),
        ({"items": [{}]}, "prefixItems"),
        ({"properties": []}, "an object of schemas"),
        ({"anyOf": [{"type": ["x"]}]}, "at /anyOf/0/type: "),
        ({"not": 1}, "true or false"),
        ({"type": ["string"] * 10_000}, "at /type: a type stands there twice"),
        ({"$ref": "#/x", "x": "no schema"}, r"at /\$ref \(#/x\): a schema is an object"),
        ({"not": {"$ref": "#/x/0"}, "x": [{"pattern": "(?=a)"}]}, "look-around"),
        ({"$ref": "#a", "x": {"$anchor": "a", "items": {"minimum": "1"}}}, "a number is wanted"),
        ({"allOf": [{"pattern": f"a{n}"} for n in range(200)]}, "more than 128 patterns"),
        ({"description": "x" * limits.SCHEMA_BYTES_MAX}, "only describes"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_what_cannot_be_applied_is_refused_at_submit(schema: Any, says: str) -> None:
    """Refused «while its caller is still there to read why»."""
    with pytest.raises(Refused, match=says):
        refuse_misshapen("result_schema", schema)


def test_what_only_looks_like_a_keyword_is_taken() -> None:
    """A field may be called "pattern", and a constant may hold anything."""
    schema = {
        "properties": {"pattern": {"const": {"$ref": "http://x", "pattern": "("}}, "$id": True},
        "enum": [{"$schema": "x"}],
        "format": "uri",
        "x-ours": 1,
    }
    refuse_misshapen("result_schema", schema)


def test_a_schema_is_visited_once_however_often_and_far_it_is_referred_to() -> None:
    """OpenAPI keeps schemas at places of its own; and they may refer to one another in a ring."""
    ring = {f"s{n}": {"items": {"$ref": f"#/components/s{(n + 1) % 1_500}"}} for n in range(1_500)}
    refuse_misshapen("result_schema", {"$ref": "#/components/s0", "components": ring})


@pytest.mark.parametrize(
    ("until", "says"),
    [
        (
            {"kind": "any", "of": [{"kind": "all", "of": [{"kind": "plan_done"}] * 8}] * 8},
            "73 conditions",
        ),
        (
            {"kind": "any", "of": [{"kind": "result_matches", "json_schema": {}}] * 3},
            "3 conditions of kind",
        ),
    ],
)
def test_a_finish_line_is_bounded_altogether(until: dict[str, Any], says: str) -> None:
    """It is looked at several times in each decision, and each look composes the result."""
    with pytest.raises(Refused, match=says) as refused:
        intake.read({}, goal="g", agent="a", budget={"tokens": 9}, timeout=9, until=until)
    assert refused.value.field == "until"
