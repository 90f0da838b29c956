"""Flower beside a deployment behind Sentinels: it shows the same, through a fail-over too."""

from pathlib import Path
from urllib.parse import quote

from envelopes.scripts import connect
from tests.garden import KEYS, Garden, growing
from tests.sentinel.bed import PASSWORD, Bed
from tests.until import until


def depths(garden: Garden) -> dict[str, int]:
    """Return how long each queue is, as Flower says."""
    garden.api.get("/api/workers?refresh=1")
    found = garden.get("/api/queues/length")["active_queues"]
    return {each["name"]: each["messages"] for each in found}


def is_readable(garden: Garden) -> None:
    """Issue 5: «agent name, goal, hop, spend and outcome in what Flower shows», and depths."""
    shown = garden.ended(garden.ask("says", "well"))
    assert (shown["name"], shown["state"]) == ("agent.says", "SUCCESS")
    assert shown["result"] == "success 0.90; 30 of 900 tokens, 1 of 9 calls"
    until("queues have their depth", lambda: KEYS.queue("says") in depths(garden))


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
        until("another is primary", lambda: bed.primary() != old)
        until("it is shown again", lambda: garden.ended(garden.ask("says", "well")), 60)
        until("queues have their depth", lambda: KEYS.queue("says") in depths(garden))


def shows_no_password(garden: Garden) -> None:
    """Celery hides what is called a password; a URL among a worker's settings is not."""
    for name in garden.get("/api/workers"):
        said = garden.api.get(f"/worker/{name}").text
        said += garden.api.get(f"/api/workers?refresh=1&workername={name}").text
        assert "mymaster" in said, "the worker's settings are shown"
        assert PASSWORD not in said
        assert quote(PASSWORD) not in said
