# `make run` and `make test` each set up .venv first when it is missing or older than the lock.
PYTHON ?= python3
VENV := .venv
STAMP := $(VENV)/.installed
BIN := $(VENV)/bin
PROCESSES ?= auto
export PYTHONDONTWRITEBYTECODE :=

.PHONY: run test test-lab lint lock ui docs lab-deps clean

run: $(STAMP)
	$(BIN)/metis run $(ARGS)

# without the lab: nothing is started but on this machine's loopback; a process per core, a file in one of them
test: $(STAMP) lint
	$(BIN)/python -m pytest --ignore=tests/lab -n $(PROCESSES) --dist loadfile $(ARGS)

# a real Swarm of containers; needs what `make lab-deps` prepares
test-lab: $(STAMP)
	METIS_REQUIRE_LAB=1 $(BIN)/python -m pytest tests/lab $(ARGS)

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

ui: $(STAMP)
	$(BIN)/metis ui $(ARGS)

docs: $(STAMP)
	$(BIN)/python -m mkdocs build --strict

# an engine, Compose and the base image from Debian's packages where they are missing, then the image of a node
lab-deps: $(STAMP)
	cluster/provision/lab/deps.sh
	$(BIN)/python -c "from cluster.provision.lab.image import local_engine, node_image; print(node_image(local_engine()))"

# bytecode is compiled at once: importing TensorFlow or MLflow without it takes three times as long
$(STAMP): requirements.lock pyproject.toml
	$(PYTHON) -m venv --clear $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check "uv>=0.9"
	VIRTUAL_ENV=$(VENV) $(BIN)/uv pip install --quiet --compile-bytecode --require-hashes -r requirements.lock
	VIRTUAL_ENV=$(VENV) $(BIN)/uv pip install --quiet --no-deps --editable .
	touch $(STAMP)

# for every Python we allow; no index host may stand in the lock, hence no uv.lock
lock: $(STAMP)
	$(BIN)/uv pip compile pyproject.toml --all-extras --universal --python-version 3.11 --no-emit-index-url --no-header --generate-hashes -o requirements.lock

clean:
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis
