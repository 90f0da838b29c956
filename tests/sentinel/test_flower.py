"""Flower beside a deployment behind Sentinels: it shows the same, through a fail-over too."""

from pathlib import Path
from urllib.parse import quote

import pytest

from envelopes.scripts import connect
from tests.garden import KEYS, Garden, growing
from tests.sentinel.bed import PASSWORD, PATIENCE_S, Bed
from tests.until import until

pytestmark = pytest.mark.timeout(400)


def is_readable(garden: Garden) -> None:
    """Issue 5: «agent name, goal, hop, spend and outcome in what Flower shows», and depths."""
    shown = garden.ended(garden.ask("says", "well"))
    assert (shown["name"], shown["state"]) == ("agent.says", "SUCCESS")
    assert shown["result"] == "success 0.90; 30 of 900 tokens, 1 of 9 calls"
    shows_depths(garden)


def shows_depths(garden: Garden) -> None:
    until("queues have their depth", lambda: KEYS.queue("says") in garden.depths())


def shows_what_comes(garden: Garden) -> None:
    """Ask, until the end of one is shown: Flower hears nothing while it finds the new primary."""
    asked: list[str] = []

    def shown() -> bool:
        asked.append(garden.ask("says", "well"))
        tasks = garden.get("/api/tasks")
        return any(tasks.get(each, {}).get("runtime") for each in asked)

    until("a subtask is shown again", shown, 120, every_s=0.5)


def test_flower_shows_a_deployment_behind_sentinels_through_a_fail_over(tmp_path: Path) -> None:
    """docs/how-to/sentinel.md: Flower is given the same URL as everybody else."""
    with (
        Bed(tmp_path / "bed") as bed,
        connect(bed.url) as client,
        growing(tmp_path, bed.url, client, bed.url) as garden,
    ):
        is_readable(garden)
        shows_no_password(garden)
        old = bed.kill_primary()
        until("another is primary", lambda: bed.primary() != old, PATIENCE_S)
        shows_what_comes(garden)
        shows_depths(garden)


def shows_no_password(garden: Garden) -> None:
    """Celery hides what is called a password; a URL among a worker's settings is not."""
    for name in garden.get("/api/workers"):
        said = until(
            "the worker's settings are shown",
            lambda name=name: about(garden, name),
            good=lambda said: "mymaster" in said,
        )
        assert PASSWORD not in said
        assert quote(PASSWORD) not in said


def about(garden: Garden, worker: str) -> str:
    """Return all that Flower says of a worker."""
    page = garden.api.get(f"/worker/{worker}").text
    return page + garden.api.get(f"/api/workers?refresh=1&workername={worker}").text
