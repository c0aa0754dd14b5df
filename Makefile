# Two commands: `make demo` and `make test`. Each sets up what it needs first.
# PYTHON=python3.12 make … chooses the interpreter; VENV=… another environment.

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
OUT ?= out

.PHONY: help setup system demo test check lint benchmark fuzz clean

help:
	@echo "make demo       the main job on the built-in phantom; open $(OUT)/demo/index.html"
	@echo "make test       the whole suite, linters first"
	@echo "make check      the inner loop, under three minutes"
	@echo "make lint       ruff, mypy, import floors"
	@echo "make benchmark  ratios against peers, one run"
	@echo "make fuzz       the long drill on damaged files"

# --- setting up -------------------------------------------------------------------------------------------

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --upgrade "pip>=25.1"

$(VENV)/.core: $(BIN)/python pyproject.toml
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable .
	$(BIN)/python -m meshing.warm
	@touch $@

$(VENV)/.dev: $(VENV)/.core
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --group dev
	@touch $@

setup: $(VENV)/.core system

system:
	@sh tools/system_packages.sh rendering

# --- the two commands -------------------------------------------------------------------------------------

demo: setup
	$(BIN)/anatomyxr demo --out $(OUT)/demo

test: $(VENV)/.dev lint
	@sh tools/system_packages.sh rendering validator
	$(BIN)/python -m pytest -n auto --dist loadfile

check: $(VENV)/.dev lint
	$(BIN)/python -m pytest -n auto --dist loadfile -m "not slow" -q

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# --- longer ----------------------------------------------------------------------------------------------

benchmark: $(VENV)/.dev system
	$(BIN)/python -m benchmarks

fuzz: $(VENV)/.dev
	$(BIN)/python -m tests.fuzz_drill --minutes $${MINUTES:-10}

clean:
	rm -rf $(OUT) build dist .pytest_cache .mypy_cache .ruff_cache .import_linter_cache
