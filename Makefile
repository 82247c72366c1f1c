# Needs `make` and a Python 3.11–3.13 on PATH; everything else is brought into the checkout (.tools, .venv).

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
MAKEFLAGS += --no-print-directory
.DEFAULT_GOAL := help

UV_VERSION := 0.13.8
UV := .tools/uv/bin/uv
BIN := .venv/bin
SETUP := .venv/.synced
export UV_PYTHON_DOWNLOADS := never
# MinIO's build fetches Go with it where there is none.
export LAKEHOUSE_UV := $(CURDIR)/$(UV)

# The first Python on PATH that is new enough, by its real path: shims of version managers confuse tools.
PYTHON = $(shell for name in python3 python3.13 python3.12 python3.11; do \
  "$$name" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null || continue; \
  "$$name" -c 'import os, sys; print(os.path.realpath(getattr(sys, "_base_executable", sys.executable)))'; break; done)

# One line a step, with a bar; names of packages go to the log.
QUIETLY = PYTHONPATH=src "$(PYTHON)" -m lakehouse.stack.quietly

# Test processes. Each starts servers of its own, so many only use memory.
PYTEST := $(BIN)/pytest -n auto --maxprocesses 4

.PHONY: help
help: ## List the targets
	@awk 'BEGIN {FS = ":.*## "} /^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: demo
demo: minio-beside $(SETUP) ## Everything once: set up, start, land, run through Airflow, show the results
	@$(BIN)/lakehouse demo

.PHONY: up
up: minio-beside $(SETUP) ## Start PostgreSQL, MinIO and Airflow
	@$(BIN)/lakehouse up

.PHONY: down
down: ## Stop them; nothing is lost
	@if [ -x $(BIN)/lakehouse ]; then $(BIN)/lakehouse down; fi

.PHONY: clean
clean: ## Stop them and DELETE their data, logs and secrets, and all caches
	@if [ -x $(BIN)/lakehouse ]; then $(BIN)/lakehouse delete-everything --yes; fi
	@rm -rf .mypy_cache .ruff_cache .pytest_cache .import_linter_cache great_expectations/uncommitted data/raw/sample
	@find . -name __pycache__ -not -path './.venv/*' -not -path './.tools/*' -prune -exec rm -rf {} +

.PHONY: setup
setup: $(SETUP) ## Bring the tools into the checkout

.PHONY: test
test: minio browser promtool ## Every test: the fast ones, then with real servers; through a real Airflow beside these
	@$(MAKE) -k -j2 test-servers test-airflow

# Airflow mostly waits, so it is quicker beside the others than after them.
.PHONY: test-servers
test-servers: test-fast browser
	@echo "── with real Postgres and MinIO"
	@$(PYTEST) -m "servers and not airflow and not faults"

.PHONY: test-airflow
test-airflow: $(SETUP) browser
	@echo "── through a real Airflow (shown when it is done)"
	@$(BIN)/pytest -m "airflow and not faults" >.tools/test-airflow.log 2>&1 && ended=0 || ended=$$?; cat .tools/test-airflow.log; exit $$ended

.PHONY: test-faults
test-faults: minio ## Processes killed at named points, servers cut off, full disks, jumping clocks
	@$(MAKE) -k -j2 test-faults-servers test-faults-airflow

# One process a file: their servers are killed.
.PHONY: test-faults-servers
test-faults-servers: $(SETUP)
	@.ci/clock
	@$(BIN)/pytest -n 2 --dist loadfile -m "faults and not airflow"

.PHONY: test-faults-airflow
test-faults-airflow: $(SETUP)
	@$(BIN)/pytest -m "faults and airflow" >.tools/test-faults-airflow.log 2>&1 && ended=0 || ended=$$?; cat .tools/test-faults-airflow.log; exit $$ended

.PHONY: test-fast
test-fast: $(SETUP) ## Tests without servers: a minute or two
	@$(PYTEST) --dist worksteal -m "not servers and not airflow and not spark"

.PHONY: test-spark
test-spark: $(SETUP) ## Every query on a local Spark against DuckDB; needs Java 17, brings pyspark (400 MB)
	@$(QUIETLY) "pyspark into .venv" .tools/setup-spark.log $(UV) sync --frozen --inexact --group spark --python "$(PYTHON)"
	@$(BIN)/pytest -m spark tests/sql/test_spark.py

.PHONY: check
check: $(SETUP) ## Format, lint, types, import layers, drift of generated files, credentials, known vulnerabilities
	@echo "── format" && $(BIN)/ruff format --check
	@echo "── lint" && $(BIN)/ruff check
	@echo "── types" && $(BIN)/mypy
	@echo "── import layers" && $(BIN)/lint-imports --no-logo >.tools/import-layers.log || (cat .tools/import-layers.log && false)
	@echo "── SQL" && $(BIN)/sqlfluff lint --disable-progress-bar --processes 0 sql/gold
	@echo "── generated files" && $(BIN)/lakehouse generate --check
	@echo "── Dockerfile" && $(BIN)/hadolint --failure-threshold style Dockerfile
	@echo "── credentials, in files and in history" && $(BIN)/python .ci/credentials.py
	@$(MAKE) audit

.PHONY: audit
audit: $(SETUP) ## Known vulnerabilities of the locked packages, and their bill of materials
	@echo "── bill of materials (.tools/sbom.cdx.json), known vulnerabilities"
	@$(UV) export --frozen --no-dev --format cyclonedx1.5 --preview-features sbom-export --quiet --output-file .tools/sbom.cdx.json
	@UV=$(UV) .ci/audit

.PHONY: secrets
secrets: ## Write .env for the containers: generated credentials, readable by you alone
	@PYTHONPATH=src $(PYTHON) -m lakehouse.stack.credentials

.PHONY: format
format: $(SETUP) ## Mend format and what lint can mend by itself
	@$(BIN)/ruff check --fix
	@$(BIN)/ruff format

.PHONY: generate
generate: $(SETUP) ## Compile contracts to SQL, suites and pages
	@$(BIN)/lakehouse generate

.PHONY: bench
bench: $(SETUP) ## Measure compute, Airflow, replay and memory against a baseline
	@$(BIN)/lakehouse bench

.PHONY: minio
minio: $(SETUP)
	@$(BIN)/python -m lakehouse.stack.minio >/dev/null

# For the tests that look at pages, and those that try the alerts.
.PHONY: browser promtool
browser promtool:
	@.ci/$@

# The build takes minutes where it is needed (once per machine), so it runs beside the set-up; `lakehouse up`
# waits for it and shows the time.
.PHONY: minio-beside
minio-beside: $(UV)
	@if [ -z "$${LAKEHOUSE_S3_ENDPOINT:-}" ]; then \
	  PYTHONPATH=src nohup $(PYTHON) -m lakehouse.stack.minio >.tools/minio.log 2>&1 & fi

$(UV):
	@if [ -z "$(PYTHON)" ]; then echo "There is no Python 3.11, 3.12 or 3.13 on PATH. Install one, then run make again." >&2; exit 1; fi
	@echo "── uv $(UV_VERSION) into .tools (with $(PYTHON))"
	@$(PYTHON) -m venv .tools/uv && .tools/uv/bin/python -m pip install --quiet --disable-pip-version-check uv==$(UV_VERSION)

$(SETUP): uv.lock pyproject.toml | $(UV)
	@$(QUIETLY) "Python packages into .venv" .tools/setup.log $(UV) sync --frozen --compile-bytecode --python "$(PYTHON)"
	@touch $@
