# `make` is `make run`: what a newcomer wants first. Targets set up .venv when it is missing or older than the lock.
PYTHON ?= python3
VENV := .venv
STAMP := $(VENV)/.installed
BIN := $(VENV)/bin
UV := VIRTUAL_ENV=$(VENV) $(BIN)/uv pip
PROCESSES ?= auto
export PYTHONDONTWRITEBYTECODE :=

.DEFAULT_GOAL := run
.PHONY: help run test test-lab lint lock ui docs lab-deps clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-9s %s\n", $$1, $$2 }' Makefile
	@echo 'ARGS="..." is passed on: make run ARGS="experiment=quick", make test ARGS="-k memo"'

run: $(STAMP) ## set up .venv, run the chain on the embedded testbed, end with a table and a page (the default)
	$(BIN)/metis run $(ARGS)
	@echo 'the command in this shell: source $(BIN)/activate && metis --help'

# without the lab: nothing is started but on this machine's loopback; a process per core, a file in one of them
test: $(STAMP) lint ## set up .venv, lint, check types and imports, run the tests
	$(BIN)/python -m pytest --ignore=tests/lab -n $(PROCESSES) --dist loadfile $(ARGS)

test-lab: $(STAMP) ## run the tests on a real Swarm of containers; needs `make lab-deps`
	METIS_REQUIRE_LAB=1 $(BIN)/python -m pytest tests/lab $(ARGS)

lint: $(STAMP) ## ruff, mypy --strict, and the direction of imports
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports --no-cache --no-logo
	$(BIN)/mypy

ui: $(STAMP) ## open the MLflow UI
	$(BIN)/metis ui $(ARGS)

docs: $(STAMP) ## build the pages into site/
	$(BIN)/python -m mkdocs build --strict

# an engine, Compose and the base image from Debian's packages where they are missing, then the image of a node
lab-deps: $(STAMP) ## prepare this machine for a lab: an engine, a base image
	cluster/provision/lab/deps.sh
	$(BIN)/python -c "from cluster.provision.lab.image import local_engine, node_image; print(node_image(local_engine()))"

# bytecode is left to the first import: compiling all 26,000 files takes 90 CPU-seconds, what a run imports ten
$(STAMP): requirements.lock pyproject.toml
	@echo "[1/4] creating $(VENV) with $$($(PYTHON) --version)"
	@$(PYTHON) -m venv --clear $(VENV)
	@echo "[2/4] installing uv, which installs the rest"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check "uv>=0.9"
	@echo "[3/4] installing what requirements.lock pins: $$(grep -c '^[a-z0-9].*==' requirements.lock) packages, less those for other systems"
	@$(UV) install --quiet --require-hashes -r requirements.lock
	@echo "[4/4] installing metis; what is imported for the first time is compiled then"
	@$(UV) install --quiet --no-deps --editable .
	@touch $(STAMP)

# for every Python we allow; no index host may stand in the lock, hence no uv.lock
lock: $(STAMP) ## pin what pyproject.toml asks for
	$(BIN)/uv pip compile pyproject.toml --all-extras --universal --python-version 3.11 --no-emit-index-url --no-header --generate-hashes -o requirements.lock

clean: ## remove .venv and caches; keeps mlruns/
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
