"""What strangers send is refused at the door, quickly, and with the field named."""

import json
import time
import tracemalloc
from typing import Any

import pytest
from pydantic import ValidationError

from envelopes import Envelope, Refused, limits, strict
from envelopes.strict import Frozen, check_json, compact, deeper_than, more_than, parse, refusal

WHAT = "letter"


class Inner(Frozen):
    number: int = 0


class Outer(Frozen):
    hints = {"name": "every letter has a name"}  # noqa: RUF012

    name: str
    inner: Inner = Inner()
    payload: Any = None


def refused(raw: bytes | str, bytes_max: int = 10_000) -> Refused:
    """Parse, and return the refusal that must come of it."""
    with pytest.raises(Refused) as caught:
        parse(Outer, raw, bytes_max=bytes_max, what=WHAT)
    assert str(caught.value) == f"{caught.value.field}: {caught.value.why}"
    return caught.value


@pytest.mark.parametrize(
    ("text", "field", "why"),
    [
        ('{"name": "n", "payload": NaN}', "payload", "NaN"),
        ('{"name": "n", "payload": {"a": [1, {"b": Infinity}]}}', "payload.a.1.b", "Infinity"),
        ('{"name": "n", "payload": [-Infinity]}', "payload.0", "-Infinity"),
        ('{"name": "n", "payload": 1e999}', "payload", "beyond every number"),
        ('{"name": "n", "payload": [0, %s]}' % ("9" * 5_000), "payload.1", "beyond every number"),
        ('{"name": "n", "payload": {"k": 1, "k": 2}}', "payload.k", "twice"),
        ('{"name": "n", "name": "m"}', "name", "twice"),
        (r'{"name": "n", "payload": {"k": "\ud800"}}', "payload.k", "half of a character"),
        (r'{"name": "\udc00\ud800"}', "name", "half of a character"),
        (r'{"name": "n", "payload": {"\ud800": 1}}', "payload.a key", "half of a character"),
        ('{"name": "n", "payload": "\ud800"}', "payload", "half of a character"),
        (b'{"name": "n", "payload": "\xed\xa0\x80"}', "payload", "half of a character"),
        ('{"name": "n", "surprise": 1}', "surprise", "no such field"),
        ('{"name": "n", "inner": {"surprise": 1}}', "inner.surprise", "no such field"),
        ('{"name": "n", "inner": {"number": "5"}}', "inner.number", "integer"),
        ('{"name": "n", "inner": {"number": true}}', "inner.number", "integer"),
        ('{"name": "n", "inner": {"number": 5.0}}', "inner.number", "integer"),
        ('{"name": 5}', "name", "string"),
        ('{"name": null}', "name", "string"),
    ],
)
def test_a_refusal_names_the_field(text: bytes | str, field: str, why: str) -> None:
    """Issue: "refused with an error that names the field"."""
    found = refused(text)
    assert (found.field, why in found.why) == (field, True), found


@pytest.mark.parametrize(
    "text",
    [
        *("", " ", "{", '{"name": "n"', "[1,]", "nul", "'x'", "{name: 1}", '{"name": "n"} x'),
        *("\ufeff{}", b"\xff\xfe{\x00}\x00", b"\x80"),
        *('{"name": "\n"}', '{"name": "\\x"}', '{"name": 01}'),
    ],
)
def test_what_is_no_json_is_called_so(text: bytes | str) -> None:
    """Where there is no field yet, the whole is named."""
    found = refused(text)
    assert found.field == WHAT
    assert found.why.startswith("not JSON: ")


@pytest.mark.parametrize("text", ["[]", "5", "null", '"name"', "true"])
def test_what_is_no_object_is_refused_as_a_whole(text: str) -> None:
    """Strict: a list is no letter."""
    assert refused(text).field == WHAT


def test_a_missing_field_is_answered_with_what_to_write() -> None:
    """The promise: "Every message a person reads says what to do next"."""
    found = refused("{}")
    assert (found.field, found.why) == ("name", "every letter has a name")


@pytest.mark.parametrize("letter", ["x", "é", "😀", "\\u00e9"])
def test_the_size_is_counted_in_bytes_and_exactly(letter: str) -> None:
    """One byte over the limit is over the limit, whatever the alphabet."""
    text = '{"name": "%s"}' % (letter * 10)
    size = len(text.encode())
    for raw in (text, text.encode()):
        parse(Outer, raw, bytes_max=size, what=WHAT)
        found = refused(raw, bytes_max=size - 1)
        assert found.field == WHAT
        assert found.why == f"{size} bytes, at most {size - 1} are taken"


@pytest.mark.parametrize("raw", [b"x" * 2**26, "x" * 2**26, "é" * 2**25], ids=["bytes", "str", "é"])
def test_64_megabytes_are_refused_at_once_and_without_a_copy(
    raw: bytes | str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The promise: "1 GB of text: refused": the size is looked at before anything else is."""
    for look in ("more_than", "deeper_than", "_Reader"):
        monkeypatch.delattr(strict, look)
    tracemalloc.start()
    found = refused(raw)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert found.field == WHAT
    assert peak < 100_000


def test_nesting_is_bounded_exactly() -> None:
    """The promise: "Cap depth at 32 before parsing"."""
    at_most = "[" * (limits.JSON_DEPTH_MAX - 1) + "]" * (limits.JSON_DEPTH_MAX - 1)
    parse(Outer, '{"name": "n", "payload": %s}' % at_most, bytes_max=999, what=WHAT)  # noqa: UP031
    found = refused('{"name": "n", "payload": [%s]}' % at_most)  # noqa: UP031
    assert (found.field, found.why) == (WHAT, "nested deeper than 32 levels")


def test_brackets_inside_strings_are_no_nesting() -> None:
    """Text about code is text."""
    payload = '[["\\" {{{' * 50
    text = json.dumps({"name": "n", "payload": payload})
    assert parse(Outer, text, bytes_max=10_000, what=WHAT).payload == payload
    assert not deeper_than(text, 1)
    assert deeper_than("[[]]", 1)
    assert not deeper_than("[][][]", 1)


def test_the_number_of_values_is_bounded() -> None:
    """A text of 4 MiB can hold over a million, and a process does nothing else meanwhile."""
    most = limits.JSON_VALUES_MAX - 3
    fits = '{"name": "n", "payload": [%s0]}' % ("0," * (most - 1))
    assert len(parse(Outer, fits, bytes_max=10**7, what=WHAT).payload) == most
    found = refused(fits.replace("[", "[0,0,"), 10**7)
    assert (found.field, found.why[:22]) == (WHAT, "more than 200,000 valu")


def test_commas_inside_strings_are_no_values() -> None:
    """Prose is prose."""
    text = json.dumps({"name": "n", "payload": ',[{"' * 100_000})
    assert parse(Outer, text, bytes_max=10**7, what=WHAT)
    assert not more_than(text.encode(), 3)
    assert more_than(b"[1,2,3]", 2)


@pytest.mark.parametrize(
    "raw",
    [
        b"[" * 4_000_000,
        b'{"a":' * 800_000,
        b'{"name": "' + b'\\"' * 2_000_000,
        b'{"name": "' + b"\\" * 4_000_000,
        b'"' * 4_000_001,
        b'{"name": ' + b"9" * 4_000_000 + b"}",
        b'{"name": 0.' + b"9" * 4_000_000 + b"}",
        b'{"name": "' + b"\\ud800" * 600_000 + b'"}',
        b"{" + b",".join(b'"%d":1' % n for n in range(190_000)) + b',"0":1}',
        b'{"payload": [' + b"[]," * 1_300_000 + b"[]]}",
        b'{"payload": [' + b"{}," * 1_300_000 + b"{}]}",
    ],
    ids=[
        *("lists", "objects", "quotes", "slashes", "strings", "int", "float", "halves", "keys"),
        *("empty lists", "empty objects"),
    ],
)
def test_no_bomb_of_the_largest_size_takes_long(raw: bytes) -> None:
    """Deep JSON, huge integer, decimal bomb: nothing costs more than its length."""
    started = time.process_time()
    refused(raw, bytes_max=limits.REQUEST_BYTES_MAX)
    assert time.process_time() - started < 4, "more than ten times what it takes"


def test_a_field_name_that_a_stranger_chose_is_cut_short_and_printable() -> None:
    """A refusal is printed, logged and filed: it does not repeat a megabyte."""
    found = refused('{"name": "n", "%s": 1}' % ("k" * 5_000))
    assert len(found.field) == limits.FIELD_CHARS_MAX + 1
    found = refused(r'{"name": "n", "payload": {"\ud800": 1, "\ud800": 2}}')
    assert str(found).encode() == b"payload.?: the key stands twice"


def test_a_models_own_complaint_names_its_field_from_the_top() -> None:
    """Model-level checks say which field, and where the model stands."""

    class Letter(Frozen):
        envelopes: tuple[Envelope, ...]

    text = '{"envelopes": [{"status": "success", "result": 1}]}'
    with pytest.raises(ValidationError) as caught:
        Letter.model_validate_json(text)
    found = refusal(caught.value, Letter, WHAT)
    assert found.field == "envelopes.0.confidence"
    assert found.why == "a success says how sure it is, from 0 to 1"


def test_what_passed_is_immutable() -> None:
    """Frozen: parse once at the edge, trust inside."""
    letter = parse(Outer, '{"name": "n"}', bytes_max=99, what=WHAT)
    with pytest.raises(ValidationError):
        letter.name = "m"  # type: ignore[misc]


def test_check_json_returns_the_value_and_spares_whole_characters() -> None:
    """A pair of surrogates is one character; only halves are refused."""
    assert check_json(r'["\ud83d\ude00", "😀"]', bytes_max=99, what=WHAT) == ["😀", "😀"]


def test_compact_writes_one_text_for_one_value() -> None:
    """No blanks, no escapes, no NaN."""
    assert compact({"a": [1, 2.5, None, True, "é"]}) == '{"a":[1,2.5,null,true,"é"]}'
    with pytest.raises(ValueError, match="not JSON compliant"):
        compact(float("nan"))
