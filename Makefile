# Two commands: `make demo` and `make test`. Each sets up what it needs first.
# PYTHON=python3.12 make … chooses the interpreter; VENV=… another environment.

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
OUT ?= out

.PHONY: help setup system demo test test-ai check lint benchmark fuzz clean

help:
	@echo "make demo       the main job on the built-in phantom; open $(OUT)/demo/index.html"
	@echo "make test       the whole suite, linters first"
	@echo "make test-ai    segmenters of nnU-Net, MONAI, TotalSegmentator; installs some 3 GB of them in .venv-ai"
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

# Frameworks of other people, in an environment of their own: neither `make demo` nor `make test` needs them.
AI_VENV ?= .venv-ai

$(AI_VENV)/.ai: pyproject.toml
	$(PYTHON) -m venv $(AI_VENV)
	$(AI_VENV)/bin/python -m pip install --quiet --disable-pip-version-check --upgrade "pip>=25.1"
	$(AI_VENV)/bin/python -m pip install --quiet --disable-pip-version-check --editable ".[ai,nnunet,monai,totalsegmentator]"
	$(AI_VENV)/bin/python -m pip install --quiet --disable-pip-version-check --group dev
	@touch $@

test-ai: $(AI_VENV)/.ai
	$(AI_VENV)/bin/python -m pytest tests/ai tests/meshing/ai

# --- longer ----------------------------------------------------------------------------------------------

benchmark: $(VENV)/.dev system
	$(BIN)/python -m benchmarks

fuzz: $(VENV)/.dev
	$(BIN)/python -m tests.fuzz_drill --minutes $${MINUTES:-10}

clean:
	rm -rf $(OUT) build dist .pytest_cache .mypy_cache .ruff_cache .import_linter_cache
