# What can be done with this folder: `make help`. Everything runs in .venv, made from a plain Python 3.11 or newer.

ifndef PYTHON
PYTHON := $(shell for p in python3.13 python3.12 python3.11 python3 python; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && { echo $$p; break; }; done)
endif

VENV ?= .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --quiet --disable-pip-version-check --no-input
PACKAGING := pyproject.toml requirements.lock

# Arguments for the program a target runs: make demo ARGS=--once, make test ARGS="tests/local -k exact".
ARGS ?=
# The measurements that `make bench` runs; each takes one to seven minutes.
BENCH ?= end_to_end daemon backfill_memory
# Tests of one file stay on one worker, so that they share their database server.
WORKERS ?= auto

.DEFAULT_GOAL := help
.PHONY: help demo test test-dashboards test-real lint format dashboards docs bench lock clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-9s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: $(VENV)/.demo ## replay recorded Dify traffic into a local page (ARGS=--once to end by itself)
	@$(BIN)/dify-exporter demo $(ARGS)

test: $(VENV)/.dev ## run all tests
	@$(BIN)/python -m pytest -q -n $(WORKERS) --dist loadfile $(ARGS)

test-real: $(VENV)/.dev $(VENV)/.real ## the whole recording through a real Phoenix and a real MLflow (eight minutes)
	@DIFY_EXPORTER_REAL=1 DIFY_EXPORTER_REAL_BIN=$(abspath $(VENV)/.real/bin) $(BIN)/python -m pytest -q tests/real $(ARGS)

test-dashboards: $(VENV)/.dev ## every query of every board, rule and alert on a real Prometheus
	@command -v prometheus >/dev/null || { [ "$$(id -u)" = 0 ] && apt-get update -qq && \
	  apt-get install -y -qq --no-install-recommends prometheus >/dev/null; } || { echo "needs Prometheus: apt-get install prometheus"; exit 1; }
	@TESTS_NEED_PROMETHEUS=1 $(BIN)/python -m pytest -q -n $(WORKERS) --dist loadfile tests/dashboards $(ARGS)

lint: $(VENV)/.dev ## ruff, mypy, and the boards that are committed
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy --strict exporter dashboards
	@$(BIN)/python -m dashboards.generate --check

format: $(VENV)/.dev ## let ruff lay out the code
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

dashboards: $(VENV)/.dev ## write dashboards/grafana from the code
	@$(BIN)/python -m dashboards.generate

docs: $(VENV)/.dev ## write what the documents take from the code: findings, definitions, metrics, versions, SDK differences
	@$(BIN)/python docs/generate_tables.py
	@$(BIN)/python docs/generate_metrics.py
	@$(BIN)/python docs/generate_versions.py
	@$(BIN)/python -m docs.sdk.differences

bench: $(VENV)/.dev ## measure the published numbers (BENCH=daemon for one of them)
	@for name in $(BENCH); do echo "== $$name"; $(BIN)/python -m bench.$$name $(ARGS) || exit 1; done

lock: $(VENV)/.uv ## work out requirements.lock again for Python 3.11 to 3.13
	@{ echo "# Versions for Python 3.11 to 3.13, worked out by 'make lock'; used as constraints: pip install -c requirements.lock .[demo]"; \
	   $(VENV)/.uv/bin/uv pip compile --quiet --universal --python-version 3.11 --all-extras --upgrade \
	   --no-header --no-annotate pyproject.toml; } > requirements.lock.new
	@mv requirements.lock.new requirements.lock

clean: ## remove the environment and caches
	@rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache dist build

$(BIN)/python:
	@test -n "$(PYTHON)" || { echo "No Python 3.11 or newer found. Name one: make PYTHON=/path/to/python3.12"; exit 1; }
	@echo "Setting up $(VENV) with $(PYTHON) (once) ..."
	@$(PYTHON) -m venv $(VENV)

$(VENV)/.demo: $(BIN)/python $(PACKAGING)
	@$(PIP) install --constraint requirements.lock --editable '.[demo]'
	@touch $@

$(VENV)/.dev: $(BIN)/python $(PACKAGING)
	@$(PIP) install --constraint requirements.lock --editable '.[demo,dev]'
	@touch $@ $(VENV)/.demo

$(VENV)/.real: | $(BIN)/python
	@$(BIN)/python -m venv $@
	@$@/bin/python -m pip --quiet --disable-pip-version-check install arize-phoenix mlflow

$(VENV)/.uv: | $(BIN)/python
	@$(BIN)/python -m venv $@
	@$@/bin/python -m pip --quiet --disable-pip-version-check install uv
