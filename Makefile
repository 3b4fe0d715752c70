# Everything starts here. On a fresh machine Python 3.11 or newer and make are enough: each target builds what it needs.
#
#   make demo    the main job on real data: a network that does not train, why, the cure, before and after
#   make test    the tests and every example in the docstrings
#   make check   style, types, and the rule that imports run downwards only
#   make bench   speed and memory, printed as ratios
#   make zoo     the long tables: healthy networks learn, and verdicts hold over several draws
#   make clean   forget the environment and all caches

PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV   ?= .venv
JOBS   ?= 2
TESTS  ?=
ARGS   ?=

BIN     := $(VENV)/bin
INSTALL := $(BIN)/python -m pip install --disable-pip-version-check -qq --constraint constraints.txt --editable
SOURCES := pyproject.toml constraints.txt

export OMP_NUM_THREADS ?= 1

.PHONY: help demo test check format bench zoo clean
.DEFAULT_GOAL := help

help:
	@sed -n '/^#   make/s/^#   //p' Makefile

# One environment, three depths of it. A stamp is older than what it depends on only when something changed.
$(BIN)/python:
	@test -n "$(PYTHON)" || { echo "No python3 was found; set PYTHON=/path/to/python3.11" >&2; exit 1; }
	@"$(PYTHON)" -c 'import sys; sys.exit(f"Python 3.11 or newer is needed; {sys.executable} is {sys.version.split()[0]}. Set PYTHON=/path/to/python3.11" if sys.version_info < (3, 11) else 0)'
	"$(PYTHON)" -m venv $(VENV)

$(VENV)/.installed-demo: $(SOURCES) | $(BIN)/python
	@echo "Installing into $(VENV): PyTorch is large, so this takes a minute or more."
	@$(INSTALL) '.[demo]'
	@touch $@

$(VENV)/.installed-test: $(SOURCES) | $(BIN)/python
	@echo "Installing into $(VENV): PyTorch is large, so this takes a minute or more."
	@$(INSTALL) '.[test]'
	@touch $@ $(VENV)/.installed-demo

$(VENV)/.installed-dev: $(SOURCES) | $(BIN)/python
	@echo "Installing into $(VENV): PyTorch is large, so this takes a minute or more."
	@$(INSTALL) '.[dev]'
	@touch $@ $(VENV)/.installed-demo $(VENV)/.installed-test

demo: $(VENV)/.installed-demo
	@$(BIN)/gainstage demo $(ARGS)

test: $(VENV)/.installed-test
	$(BIN)/python -m pytest --numprocesses $(JOBS) --dist loadfile $(TESTS) $(ARGS)

check: $(VENV)/.installed-dev
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(VENV)/.installed-dev
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

bench: $(VENV)/.installed-test
	@for file in $$(grep -l __main__ benchmarks/*.py); do \
		echo "== $$file"; OMP_NUM_THREADS=$(JOBS) $(BIN)/python "$$file" $(ARGS) || exit 1; \
	done

zoo: $(VENV)/.installed-test
	$(BIN)/python -m pytest --numprocesses $(JOBS) tests/zoo/long_tables.py $(ARGS)

clean:
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis build dist out
