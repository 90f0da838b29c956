# A fresh machine needs Python 3.11+, pip and make; everything else is set up here.

PYTHON ?= python3
PYTEST_ARGS ?=
BIN := .venv/bin
UV := UV_PYTHON_DOWNLOADS=never .tools/bin/uv
COMPILE := $(UV) pip compile -q --universal --generate-hashes --no-header --no-annotate \
           --no-emit-index-url --python-version 3.11

# Tests start hundreds of processes; each compiles all that it imports where this forbids to keep it.
export PYTHONDONTWRITEBYTECODE =

.PHONY: help setup demo test lint format bench chaos seeds browser pasted flower sentinel tls traces upgrade compose node alerts docs simulate schemas lock clean

help:        ## what there is
	@sed -n 's/^\([a-z]*\):.*## /  make \1\t/p' Makefile | expand -t 18

setup: .venv/.ready        ## make .venv with everything in it, .venv/bin/buckstop among it

demo: setup        ## the main job, on an embedded server: a plan, a crash, a budget, a hop cap
	$(BIN)/buckstop demo

# Three at a time on two cores: in a good part of their time tests wait, for a lease or a child.
test: setup        ## every test that must pass before a commit
	$(BIN)/pytest -q -n 3 --dist worksteal $(PYTEST_ARGS)

lint: setup        ## ruff and mypy
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: setup        ## let ruff put the code in order
	$(BIN)/ruff check --fix-only -q .
	$(BIN)/ruff format -q .

bench: setup        ## the core, recovery, recorded runs, and fan-out against stock Celery side by side
	$(BIN)/python bench/decide.py
	$(BIN)/python bench/replay.py --data tests/data --real 6
	$(BIN)/python bench/recovery.py --runs 3
	$(BIN)/python bench/fanout.py --width 1000 --runs 5

chaos: setup        ## the chaos test, longer than in make test
	BUCKSTOP_CHAOS_TASKS=1500 $(BIN)/pytest -q tests/test_chaos.py --timeout 900

seeds: setup        ## every seeded bug, of which make test plants a few
	CI=true $(BIN)/pytest -q tests/test_seeded_bugs.py --timeout 900

browser: setup        ## the console in a real browser; needs Chromium (apt install chromium)
	$(BIN)/pytest -q -n 2 --dist loadfile --durations=10 tests/browser $(PYTEST_ARGS)

pasted: setup        ## what pages and examples say, as a reader pastes it beside a deployment
	$(BIN)/pytest -q -n 2 --dist loadfile --durations=5 tests/pasted $(PYTEST_ARGS)

flower: setup        ## a real Flower beside real workers
	$(BIN)/pytest -q --durations=5 tests/flower $(PYTEST_ARGS)

sentinel: setup        ## fail-over with real Sentinels, under load
	$(BIN)/pytest -q -n 2 --durations=5 tests/sentinel $(PYTEST_ARGS)

tls: setup        ## TLS to servers and Sentinels; needs a redis-server that speaks it (apt install redis-server)
	$(BIN)/python -m tests.tls $(PYTEST_ARGS)

traces: setup        ## traces where a worker is killed or the collector is away
	$(BIN)/pytest -q -n 2 --durations=5 tests/traces $(PYTEST_ARGS)

upgrade: setup        ## this version and a made-up next one, side by side, under load
	$(BIN)/pytest -q --durations=5 tests/upgrade $(PYTEST_ARGS)

compose: setup        ## docker-compose.yml for real: crashes, cuts, scaling; needs a Docker engine
	$(BIN)/python -m tests.compose

alerts: setup        ## alert rules and dashboards, with promtool and a real Prometheus (apt install prometheus)
	$(BIN)/python -m tests.monitoring

node: setup        ## the door with a stock Node client of Celery; needs Node and npm
	$(BIN)/python -m tests.node

docs: setup        ## the documentation site, into site/
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict -q
	@echo "site/index.html; to read it with its search: $(BIN)/mkdocs serve"

simulate: setup        ## many small worlds with every fault
	$(BIN)/buckstop simulate --seeds 200 --tasks 8000

schemas: setup        ## write docs/schemas anew
	$(BIN)/python -m envelopes.schemas docs/schemas

lock: .tools/.ready        ## resolve the dependencies anew
	$(COMPILE) --upgrade requirements/tools.in -o requirements/tools.lock
	$(COMPILE) --upgrade --group dev --all-extras pyproject.toml -o requirements/dev.lock
	$(COMPILE) -c requirements/dev.lock --extra mcp --extra otel pyproject.toml -o requirements/run.lock
	$(COMPILE) -c requirements/dev.lock requirements/build.in -o requirements/build.lock

clean:        ## take away what setup has made
	rm -rf .venv .tools

.tools/.ready: requirements/tools.lock
	$(PYTHON) -m pip install -q --upgrade --require-hashes --target .tools -r requirements/tools.lock
	@touch $@

.venv/.ready: .tools/.ready requirements/dev.lock pyproject.toml
	$(UV) venv -q --allow-existing --python $(PYTHON) .venv
	$(UV) pip install -q --python $(BIN)/python --require-hashes -r requirements/dev.lock
	$(UV) pip install -q --python $(BIN)/python --no-deps --no-build-isolation -e .
	@touch $@
