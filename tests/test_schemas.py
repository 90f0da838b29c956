"""The JSON Schemas in docs/schemas are current, and say what the models take."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from play import PLAN_DONE
from test_envelopes import ASKING, DECISION, FAILED, HEADERS, PARTIAL, SUCCESS

from envelopes import schemas

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "docs" / "schemas"

REQUEST = {
    "goal": "find out",
    "plan": [{"id": "a", "agent": "b", "timeout": "5m", "allowance": {"usd": "0.1"}}],
    "budget": {"tokens": 5, "usd": 0.25},
    "timeout": 60,
    "until": {"kind": "any", "of": [PLAN_DONE, {"kind": "elapsed", "seconds": 5}]},
}


def test_the_schema_files_are_current(*, rewrite: bool) -> None:
    """Issue: "JSON Schemas … are exported to `docs/schemas/` and a test keeps them current"."""
    if rewrite:
        schemas.write(FOLDER)
    found = {path.name: path.read_text(encoding="utf-8") for path in FOLDER.iterdir()}
    assert found == schemas.texts(), "run: python -m envelopes.schemas docs/schemas"


def test_the_command_that_is_named_writes_them(tmp_path: Path) -> None:
    """`python -m envelopes.schemas FOLDER`."""
    command = [sys.executable, "-m", "envelopes.schemas", str(tmp_path / "new")]
    subprocess.run(command, cwd=ROOT, check=True)
    assert {path.name for path in (tmp_path / "new").iterdir()} == set(schemas.texts())
    wrong = subprocess.run(command[:-1], cwd=ROOT, check=False, capture_output=True, text=True)
    assert (wrong.returncode, wrong.stderr) == (1, "usage: python -m envelopes.schemas FOLDER\n")


@pytest.mark.parametrize("name", schemas.VOCABULARY)
def test_every_schema_is_one(name: str) -> None:
    """Draft 2020-12, nothing extra taken, every field and model explained by its title."""
    schema = schemas.schema(name)
    Draft202012Validator.check_schema(schema)
    models = [schema, *schema.get("$defs", {}).values()]
    for model in models:
        assert model.get("type") != "object" or model["additionalProperties"] is False


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("task_request", REQUEST),
        ("headers", HEADERS),
        ("envelope", SUCCESS),
        ("envelope", PARTIAL),
        ("envelope", FAILED),
        ("envelope", ASKING),
        ("decision", DECISION),
        ("decision", DECISION | {"verb": "retry", "time": "5m", "budget": {"usd": "1.5"}}),
        ("cancellation", {"by": "ann"}),
        ("ledger", {"ceiling": {"tokens": 5}}),
        ("finish_line", REQUEST["until"]),
    ],
)
def test_a_schema_takes_what_its_model_takes(name: str, value: Any) -> None:
    """Whoever writes by the schema is understood."""
    Draft202012Validator(schemas.schema(name)).validate(value)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("task_request", REQUEST | {"until": {"kind": "soon"}}),
        ("task_request", REQUEST | {"timeout": "soon"}),
        ("task_request", REQUEST | {"surprise": 1}),
        ("headers", HEADERS | {"v": 2}),
        ("headers", HEADERS | {"hop": 0}),
        ("headers", HEADERS | {"allowance": {"tokens": -1}}),
        ("envelope", SUCCESS | {"status": "done"}),
        ("envelope", SUCCESS | {"confidence": 2}),
        ("decision", DECISION | {"verb": "shrug"}),
        ("cancellation", {}),
        ("ledger", {}),
        ("finish_line", {"kind": "spent", "share": 2}),
    ],
)
def test_a_schema_refuses_what_its_model_refuses(name: str, value: Any) -> None:
    """And whoever does not is told before sending."""
    assert not Draft202012Validator(schemas.schema(name)).is_valid(value)
