"""A real Prometheus with our configuration, which finds its target on this machine."""

import json
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import yaml

from orchestrator.leash import leashed
from tests.ports import free_port
from tests.until import until

RULES = Path(__file__).parents[2] / "deploy/prometheus"
WITHIN_S = 90


class Prometheus:
    """One that runs."""

    def __init__(self, port: int) -> None:
        self._http = httpx.Client(base_url=f"http://127.0.0.1:{port}/api/v1", timeout=30)

    def ask(self, path: str, **params: str) -> Any:
        """Ask its API; an error of a query is an error here."""
        answer = self._http.get(path, params=params)
        told = answer.json()
        assert told["status"] == "success", told
        return told["data"]

    def query(self, expression: str) -> list[Any]:
        """Evaluate an expression now."""
        return list(self.ask("query", query=expression)["result"])

    def wait(self, expression: str) -> list[Any]:
        """Return what an expression finds, once it finds anything."""
        return until(expression, lambda: self.query(expression), WITHIN_S, every_s=0.2)


@contextmanager
def prometheus(folder: Path, target: str, token: str) -> Iterator[Prometheus]:
    """Run one that scrapes this target each second."""
    port = free_port()
    (folder / "token").write_text(token)
    for rules in ("rules.yml", "limits.yml"):
        shutil.copy(RULES / rules, folder)
    (folder / "prometheus.yml").write_text(json.dumps(_configured(target)))
    program = shutil.which("prometheus")
    assert program, "there is no prometheus; install it with: apt-get install prometheus"
    command = [program, f"--config.file={folder}/prometheus.yml"]
    command += [f"--storage.tsdb.path={folder}/data", f"--web.listen-address=127.0.0.1:{port}"]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(leashed(command), stdout=log, stderr=log)
    try:
        yield Prometheus(port)
    finally:
        process.terminate()
        process.wait(WITHIN_S)


def _configured(target: str) -> dict[str, Any]:
    """Return our own configuration, but for where things are and how often it looks."""
    config: dict[str, Any] = yaml.safe_load((RULES / "prometheus.yml").read_text())
    config["global"] = {"scrape_interval": "1s", "evaluation_interval": "1s"}
    [job] = [each for each in config["scrape_configs"] if each["job_name"] == "buckstop"]
    del job["dns_sd_configs"]
    job["authorization"]["credentials_file"] = "token"
    job["static_configs"] = [{"targets": [target]}]
    return {**config, "scrape_configs": [job]}
