# make demo   one message over TLS to an inbox on this machine, shown
# make test   lint, types, floors, tests
# make check  the same without the tests

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# Most tests wait more than they compute: for servers, for processes that are killed, for leases that run out.
WORKERS := $(shell expr 2 + $$(getconf _NPROCESSORS_ONLN))

.PHONY: demo test check lint types floors tests bench clean

demo: $(VENV)/.runtime
	@$(BIN)/flowpost demo

test: check tests

check: lint types floors

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/.dev
	$(BIN)/mypy

floors: $(VENV)/.dev
	$(BIN)/lint-imports

tests: $(VENV)/.dev
	$(BIN)/pytest --numprocesses=$(WORKERS) --dist=worksteal $(PYTEST_ARGS)

bench: $(VENV)/.dev
	$(BIN)/python bench/startup.py

# Two stamps, so that the demo needs no development tool.
$(VENV)/.runtime: pyproject.toml
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-compile --editable .
	@touch $@

$(VENV)/.dev: pyproject.toml $(VENV)/.runtime
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-compile --editable '.[dev]'
	@touch $@

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache dist
