# Every target makes its own environment from requirements.lock; nothing but Python 3.11+ is needed.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
# Tests run in as many processes as there are CPUs, four at most: all that use Ray in one of them.
PROCESSES := -n logical --maxprocesses 4
# A run is hundreds of processes: what they import is compiled by the first, even where the shell says otherwise,
# as it does in many containers. Of what a worker takes to start half would be compiling.
export PYTHONDONTWRITEBYTECODE :=

.PHONY: help install demo tasks ablations grounded test soak lint check audit docs wheel format lock

help:  ## list the targets
	@grep -E '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

install: $(READY)  ## make .venv from requirements.lock

$(READY): requirements.lock pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv==0.13.9
	$(BIN)/uv pip install --quiet --python $(BIN)/python --require-hashes -r requirements.lock
	$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation --editable .
	touch $(READY)

demo: $(READY)  ## the whole job on a rendered corpus, with real weights
	$(BIN)/python -m demo.run

tasks: $(READY)  ## fine-tune the demo's model for every task: after `make demo`, half an hour
	$(BIN)/python -m demo.tasks

ablations: $(READY)  ## what the demo's model owes to its data and parts: after `make demo`, an hour
	$(BIN)/python -m demo.ablations

grounded: $(READY)  ## learn from demonstrations in BabyAI's grid world, with three seeds: half an hour
	$(BIN)/python -m demo.grounded

test: $(READY)  ## every test; CI measures coverage, too
	$(BIN)/python -m pytest $(PROCESSES)

soak: $(READY)  ## the long campaigns, by themselves: 30 deaths, 2,000 hostile inputs and interleavings; an hour
	VBERT_TEST_FAULTS=30 VBERT_TEST_INPUTS=2000 VBERT_TEST_INTERLEAVINGS=2000 $(BIN)/python -m pytest \
		-p no:tests.time_budget --timeout 7200 tests/tables/test_interleavings.py \
		tests/features/test_hostile_inputs.py tests/jobs/test_clusters.py -k "hostile or random or invent or order or bucket"
	$(BIN)/python -m benchmarks.scale
	test ! -d ../shared/cases || $(BIN)/python benchmarks/cases.py --cases ../shared/cases

docs: $(READY)  ## the documentation's site, in build/site
	NO_MKDOCS_2_WARNING=1 COLUMNS=100 $(BIN)/mkdocs build --quiet --strict

wheel: $(READY)  ## the package, in dist
	$(BIN)/python -m pip wheel --quiet --no-deps --no-build-isolation --wheel-dir dist .

lint: $(READY)  ## format, lint, types and bandit
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/bandit --quiet --recursive --configfile pyproject.toml vbert jobs demo benchmarks tools

check: lint audit  ## the same, known vulnerabilities and the fast tests, in under two minutes
	$(BIN)/python -m pytest $(PROCESSES) -q -m "not slow"

audit: $(READY)  ## known vulnerabilities of the versions in requirements.lock
	$(BIN)/python tools/audit.py

format: $(READY)  ## rewrite the sources as ruff wants them
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

lock: $(READY)  ## renew requirements.lock from pyproject.toml, keeping the versions that still fit
	$(BIN)/uv pip compile --quiet --universal --no-emit-index-url --generate-hashes --python-version 3.11 \
		--all-extras --custom-compile-command "make lock" --output-file requirements.lock pyproject.toml
