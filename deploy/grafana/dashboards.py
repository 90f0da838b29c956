# ruff: noqa: INP001 -- no package: a script beside what it writes
"""Write Grafana's dashboards: `python deploy/grafana/dashboards.py`.

What they show stands in pages.py. Grafana's own JSON, with its places and its defaults, is made of
that here; a test holds the files to this script.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from pages import PAGES, SOURCE, Panel

FOLDER: Final = Path(__file__).parent / "dashboards"
WIDTH: Final = 24
"""Columns of Grafana's grid."""


def dashboard(name: str) -> dict[str, Any]:
    """Return a page as Grafana reads it."""
    title, panels, variables = PAGES[name]
    return {
        "uid": f"buckstop-{name}",
        "title": title,
        "tags": ["buckstop"],
        "schemaVersion": 39,
        "editable": False,
        "refresh": "30s",
        "time": {"from": "now-6h", "to": "now"},
        "timezone": "",
        "links": [
            {"type": "dashboards", "tags": ["buckstop"], "title": "Buckstop", "keepTime": True}
        ],
        "templating": {"list": list(variables)},
        "annotations": {"list": []},
        "panels": [
            _panel(number, panel, x, y)
            for number, (panel, x, y) in enumerate(_placed(panels), start=1)
        ],
    }


def _placed(panels: tuple[Panel, ...]) -> Iterator[tuple[Panel, int, int]]:
    """Put panels into rows, from left to right."""
    x, y, tallest = 0, 0, 0
    for panel in panels:
        if x + panel.width > WIDTH or (tallest and panel.height != tallest):
            x, y, tallest = 0, y + tallest, 0
        yield panel, x, y
        x, tallest = x + panel.width, panel.height


def _panel(number: int, panel: Panel, x: int, y: int) -> dict[str, Any]:
    return {
        "id": number,
        "type": panel.kind,
        "title": panel.title,
        "description": panel.about,
        "datasource": SOURCE,
        "gridPos": {"x": x, "y": y, "w": panel.width, "h": panel.height},
        "targets": [
            {
                "refId": chr(ord("A") + at),
                "datasource": SOURCE,
                "expr": ask,
                "legendFormat": legend or "__auto",
            }
            for at, (ask, legend) in enumerate(panel.queries)
        ],
        "fieldConfig": {"defaults": _defaults(panel), "overrides": []},
        "options": _options(panel),
    }


def _defaults(panel: Panel) -> dict[str, Any]:
    steps: list[dict[str, Any]] = [{"color": "green", "value": None}]
    if panel.warn is not None:
        steps.append({"color": "red", "value": panel.warn})
    shared = {"unit": panel.unit, "min": 0, "thresholds": {"mode": "absolute", "steps": steps}}
    if panel.kind == "stat":
        return shared
    mode = {"group": "A", "mode": "normal" if panel.stacked else "none"}
    return shared | {"custom": {"fillOpacity": 10, "showPoints": "never", "stacking": mode}}


def _options(panel: Panel) -> dict[str, Any]:
    if panel.kind == "stat":
        return {"reduceOptions": {"calcs": ["lastNotNull"]}, "colorMode": "value"}
    return {
        "legend": {"displayMode": "list", "placement": "bottom", "showLegend": True},
        "tooltip": {"mode": "multi", "sort": "desc"},
    }


def text(name: str) -> str:
    """Return a page as its file has it."""
    return json.dumps(dashboard(name), indent=2) + "\n"


if __name__ == "__main__":
    for page in PAGES:
        (FOLDER / f"{page}.json").write_text(text(page), encoding="utf-8")
