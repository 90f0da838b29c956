"""Run a fixed load on 1, 2 and 4 worker containers of docker-compose.yml, and compare.

    python bench/scale.py --runs 3 --json        needs a Docker engine with compose and buildx

The load is one task whose steps all may run at once, by an agent that waits as one does that asks a
model: 0.2 s each, with a paid call. A worker container runs two at a time, so that its places are
the bound and not this machine's cores, which all containers share. The time is from the task's
acceptance to its end, by the server's clock. Sizes take turns within a run, on one deployment that
is never restarted; what is compared are medians.

Exit code 1 where the promise is not kept: at least 1.9 times with two, 3.6 times with four.
"""

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from tests.compose.engine import Deployment, missing, over, until  # noqa: E402

SIZES = (1, 2, 4)
PROMISED = {1: 1.0, 2: 1.9, 4: 3.6}
NAP_S = 0.2
AT_ONCE = 2
LOOK_S = 0.2
WARMING_STEPS = 20


def main() -> int:
    """Measure, print, and say by the exit code whether the promise is kept."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--steps", type=int, default=240)
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    if why := missing():
        print(f"LEFT OUT: no worker containers were measured: {why}")
        return 2
    with deployed() as deployment:
        rates = measured(deployment, asked.runs, asked.steps)
    ratios = {size: median(rates[size]) / median(rates[1]) for size in SIZES}
    print(as_json(rates, ratios) if asked.json else as_text(rates, ratios))
    return 0 if all(ratios[size] >= least for size, least in PROMISED.items()) else 1


@contextmanager
def deployed() -> Iterator[Deployment]:
    """Start the deployment with one worker; take it away afterwards."""
    with tempfile.TemporaryDirectory() as folder:
        deployment = Deployment(Path(folder), AT_ONCE)
        try:
            deployment.up()
            yield deployment
        finally:
            deployment.down()


def measured(deployment: Deployment, runs: int, steps: int) -> dict[int, list[float]]:
    """Return the steps per second of each size, run by run."""
    rates: dict[int, list[float]] = {size: [] for size in SIZES}
    seconds(deployment, WARMING_STEPS)  # the first of all loads scripts and agents
    for _ in range(runs):
        for size in SIZES:
            scale(deployment, size)
            rates[size].append(steps / seconds(deployment, steps))
    return rates


def scale(deployment: Deployment, size: int) -> None:
    """Have this many worker containers, all of them at work."""
    deployment.compose("up", "--detach", "--no-build", "--wait", "--scale", f"worker={size}")
    until(
        f"{size} workers have said that they live",
        lambda: deployment.client.get("/v1/workers").json()["items"],
        lambda alive: len(alive) == size,
    )


def seconds(deployment: Deployment, steps: int) -> float:
    """Run the load once, and say how long it took from its acceptance to its end."""
    answer = deployment.client.post("/v1/tasks", json=load(steps))
    assert answer.is_success, answer.text
    task = answer.json()["id"]
    while not over(ended := deployment.task(task)):
        time.sleep(LOOK_S)
    assert (ended["state"], ended["subtasks"]) == ("completed", steps), ended["state"]
    return float(ended_ms(deployment, task) - ended["accepted_ms"]) / 1000


def ended_ms(deployment: Deployment, task: str) -> int:
    """Return the moment of the last line of a task's journal."""
    items, after = [], -1
    while after is not None:
        page = {"limit": "500"} | ({} if after < 0 else {"after": str(after)})
        told = deployment.client.get(f"/v1/tasks/{task}/journal", params=page).json()
        items, after = told["items"] or items, told["next"]
    return int(items[-1]["at_ms"])


def load(steps: int) -> dict[str, object]:
    """Ask for that many naps at once."""
    return {
        "goal": str(NAP_S),
        "plan": [{"id": f"s{n}", "agent": "nap"} for n in range(steps)],
        "budget": {"tokens": 2000 * steps},
        "subtasks_max": steps,
        "timeout": "10m",
        "until": {"kind": "plan_done"},
    }


def as_json(rates: dict[int, list[float]], ratios: dict[int, float]) -> str:
    """Write the figures for programs."""
    return json.dumps(
        {
            "steps_per_second": {size: [round(r, 1) for r in rates[size]] for size in SIZES},
            "ratios": {size: round(ratios[size], 2) for size in SIZES},
        }
    )


def as_text(rates: dict[int, list[float]], ratios: dict[int, float]) -> str:
    """Write the figures for people."""
    lines = [
        f"{size} worker{'s' * (size > 1)}: {median(rates[size]):6.1f} steps/s "
        f"({min(rates[size]):.1f}-{max(rates[size]):.1f}), {ratios[size]:.2f}x"
        for size in SIZES
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
