"""docs/concepts/scale.md: its arithmetic is run, and what the page says of it is what comes out."""

import re
import subprocess
import sys

import pytest

from envelopes import limits
from tests.pages import ROOT, block

PAGE = "docs/concepts/scale.md"
ASSUMED = "tasks_h, steps, wait_s, kept_h = 1_000_000, 5, 20, 6"
COSTS = "redis_ms, orchestrator_ms, worker_ms, http_ms = 3.06, 2.96, 3.81, 5.4"
SIZES = "written_kb, kept_kb, waiting_kb = 106, 22.8, 0.2"


def reckoned(**instead: str) -> str:
    """Run the page's program, with other assumptions in place of its own."""
    program = block(PAGE, "# Change what is yours.")
    for name, line in {"assumed": ASSUMED, "costs": COSTS, "sizes": SIZES}.items():
        assert line in program
        program = program.replace(line, instead.get(name, line))
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    return done.stdout


def test_the_arithmetic_prints_what_the_page_shows() -> None:
    """The page: "It prints"."""
    shown = re.search(r"```text\n(.*?)```", (ROOT / PAGE).read_text(), re.DOTALL)
    assert shown is not None
    assert reckoned() == shown[1]


@pytest.mark.parametrize(
    ("instead", "said"),
    [
        ({"assumed": ASSUMED.replace("20, 6", "20, 1")}, "so 4 cells, each 48% busy, 6 GB"),
        ({"assumed": ASSUMED.replace("20, 6", "20, 24")}, "548 GB: 11.4 by memory\nso 12 cells"),
        ({"assumed": ASSUMED.replace("20, 6", "20, 168")}, "3831 GB"),
        ({"assumed": ASSUMED.replace("20, 6", "60, 6")}, "83,333 agents wait"),
        ({"assumed": ASSUMED.replace("20, 6", "60, 6")}, "so 9 cells"),
        (
            {
                "assumed": ASSUMED.replace("5, 20, 6", "1, 2, 6"),
                "costs": COSTS.replace("3.06, 2.96, 3.81", "0.85, 0.79, 0.78"),
                "sizes": SIZES.replace("106, 22.8", "17.4, 5.4"),
            },
            "so 1 cells, each 26% busy",
        ),
    ],
)
def test_what_changes_it_most_is_what_the_arithmetic_says(
    instead: dict[str, str], said: str
) -> None:
    """The page: "What changes it most"."""
    assert said in reckoned(**instead)


def test_the_bounds_of_the_page_are_those_in_force() -> None:
    """The page: "What else has a bound"."""
    text = (ROOT / PAGE).read_text()
    assert f"has {limits.TENANT_TASKS_MAX} tasks at work" in text
    assert f"holds {limits.LETTERS_MAX:,} that are open" in text
    assert f"news_kept = 0.5, 0.7, 200, 48, {limits.NEWS_MAX:_}" in text
