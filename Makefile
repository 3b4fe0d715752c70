# Everything starts here. On a fresh machine Python 3.11 or newer and make are enough: each target builds what it needs.
#
#   make demo    the main job on real data: a network that does not train, why, the cure, before and after
#   make test    the tests and every example in the docstrings
#   make browser a Chromium for the tests of pages, from the distribution, where none is found
#   make pictures   docs/images anew: the pictures that README.md shows
#   make answers   the figures of the full run that the lab's teacher's page shows, printed anew (long)
#   make notebooks   notebooks/ anew from the seven questions
#   make test-keras   the Keras backend on TensorFlow, JAX and PyTorch, each in a process of its own
#   make test-sinks   what gs.watch logs, read back from wandb, MLflow, Trackio and Aim themselves, in build/sinks
#   make docs    the documentation as a site, in build/docs; warnings are errors, and nothing is fetched
#   make quotes  the outputs that the pages quote, printed anew by the quoted commands
#   make check   style, types, and the rule that imports run downwards only
#   make bench   speed and memory, printed as ratios
#   make long    the tests that `make test` leaves out because they cost minutes: every notebook, every counterexample
#   make zoo     the long tables: healthy networks learn, and verdicts hold over several draws
#   make exam    the exam's cases are what they claim: each trains briefly, sick ones worse than their cured twins (long)
#   make verdicts   what check finds on the exam's two halves: docs/verdicts.md
#   make published   what check says of 100 published architectures as their own code starts them
#   make trainings-exam   trainings that go wrong and healthy ones under gs.watch: docs/exam-of-trainings.md (long)
#   make agreement   predicted against measured second moments: docs/agreement.md (long)
#   make architectures   where automatic initialization starts 118 networks: docs/architectures.md
#   make trainings   real trainings, every start at its best learning rate (long)
#   make fuzz   functions and the command line under arguments of every kind, fifty times the tests' share (long)
#   make reliability   what user code, hostile input and kills leave alone, in figures: docs/reliability.md
#   make bits    random words under dieharder, which Debian packages (an hour for each of two sources)
#   make starts-exam   automatic starts against those of their authors, on networks of all fields (long)
#   make second-list   predicted against measured on architectures that no rule was tuned to, both halves (long)
#   make transfer   real trainings: does the best rate of a small model carry over to one eight times as wide (long)
#   make clean   forget the environment and all caches

PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV   ?= .venv
JOBS   ?= 2
TESTS  ?=
ARGS   ?=
EVERY  ?= long

BIN     := $(VENV)/bin
INSTALL := $(BIN)/python -m pip install --disable-pip-version-check -qq --constraint constraints.txt --editable
SOURCES := pyproject.toml constraints.txt

export OMP_NUM_THREADS ?= 1

.PHONY: help demo browser pictures answers notebooks docs quotes test test-keras test-sinks check format bench long zoo exam trainings-exam verdicts published agreement architectures trainings fuzz reliability bits starts-exam second-list transfer clean
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

$(VENV)/.installed-keras: $(SOURCES) | $(BIN)/python
	@echo "Installing into $(VENV): PyTorch, TensorFlow and JAX are large, so this takes some minutes."
	@$(INSTALL) '.[test-keras]'
	@touch $@ $(VENV)/.installed-demo $(VENV)/.installed-test

$(VENV)/.installed-dev: $(SOURCES) | $(BIN)/python
	@echo "Installing into $(VENV): PyTorch is large, so this takes a minute or more."
	@$(INSTALL) '.[dev]'
	@touch $@ $(VENV)/.installed-demo $(VENV)/.installed-test

$(VENV)/.installed-docs: $(SOURCES) | $(BIN)/python
	@echo "Installing what builds the documentation into $(VENV)."
	@$(INSTALL) '.[docs]'
	@touch $@

demo: $(VENV)/.installed-demo
	@$(BIN)/gainstage demo $(ARGS)

test: $(VENV)/.installed-test
	$(BIN)/python -m pytest --numprocesses $(JOBS) --dist loadfile $(TESTS) $(ARGS)

# Without one the tests of pages in a browser are skipped, and say so; in CI they fail.
browser:
	@.ci/browser

pictures: $(VENV)/.installed-test browser
	$(BIN)/python docs/pictures.py $(ARGS)

docs: $(VENV)/.installed-docs
	$(BIN)/python -m sphinx --fail-on-warning --keep-going --quiet --doctree-dir build/doctrees docs build/docs $(ARGS)
	@echo "The site is in build/docs/index.html"

quotes: $(VENV)/.installed-demo
	$(BIN)/python docs/quotes.py $(ARGS)

answers: $(VENV)/.installed-keras
	$(BIN)/gainstage ask --all --json > build-answers.json
	mv build-answers.json src/gainstage/lab/full_run.json

notebooks: $(VENV)/.installed-demo
	$(BIN)/gainstage ask --all --notebook notebooks

# Whole programs, which no backend changes: command line, lessons, example, exam.
KERAS_TESTS := tests/backends_keras
ON_TENSORFLOW := tests/exam/test_exam_in_keras.py \
	$(addprefix $(KERAS_TESTS)/test_,command_line.py lessons.py example.py starts_exam.py watching_in_fit.py)
# What the backends do each in their own way: gradients, training, kept state, values in memory.
ON_EVERY_BACKEND := $(addprefix $(KERAS_TESTS)/test_,record.py train.py conformance.py watching.py)

# Keras fixes its backend when it is imported, hence a process for each; torch comes with the twins they are compared to.
# EVERY=short runs on JAX and PyTorch only what each backend does in its own way; CI does that.
test-keras: $(VENV)/.installed-keras
	@for backend in tensorflow jax torch; do \
		echo "== Keras on $$backend"; \
		if [ $$backend = tensorflow ]; then tests="$(KERAS_TESTS) src/gainstage/backends/keras $(ON_TENSORFLOW)"; \
		elif [ "$(EVERY)" = short ]; then tests="$(ON_EVERY_BACKEND)"; \
		else tests="$(KERAS_TESTS) src/gainstage/backends/keras $(ON_TENSORFLOW:%=--ignore=%)"; fi; \
		KERAS_BACKEND=$$backend TF_CPP_MIN_LOG_LEVEL=2 $(BIN)/python -m pytest --numprocesses $(JOBS) --dist loadfile \
			$$tests $(ARGS) || exit 1; \
	done

# These packages pin much of what others need, so they stay out of the environment.
test-sinks: $(BIN)/python
	@for package in wandb mlflow trackio aim; do \
		echo "== $$package"; \
		"$(PYTHON)" -m venv build/sinks/$$package; \
		build/sinks/$$package/bin/python -m pip install --disable-pip-version-check -qq $$package pytest --editable '.[torch]' || exit 1; \
		build/sinks/$$package/bin/python -m pytest tests/integrations/real_sinks.py -k test_$$package $(ARGS) || exit 1; \
	done

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

long: $(VENV)/.installed-test
	$(BIN)/python -m pytest --numprocesses $(JOBS) -m long tests $(ARGS)

zoo: $(VENV)/.installed-test
	$(BIN)/python -m pytest --numprocesses $(JOBS) tests/zoo/long_tables.py $(ARGS)

exam: $(VENV)/.installed-keras
	$(BIN)/python tests/exam/verify.py --write $(ARGS)

verdicts: $(VENV)/.installed-keras
	$(BIN)/python benchmarks/verdicts.py --write $(ARGS)

trainings-exam: $(VENV)/.installed-test
	$(BIN)/python tests/training_exam/sit.py both --write $(ARGS)

published: $(VENV)/.installed-test
	$(BIN)/python benchmarks/published.py $(ARGS)

agreement: $(VENV)/.installed-test
	$(BIN)/python benchmarks/long/agreement.py $(ARGS)

architectures: $(VENV)/.installed-test
	$(BIN)/python docs/architectures.py

trainings: $(VENV)/.installed-test
	$(BIN)/python benchmarks/long/trainings.py $(ARGS)

fuzz: $(VENV)/.installed-test
	GAINSTAGE_FUZZ=50 $(BIN)/python -m pytest --numprocesses $(JOBS) tests/fuzz $(ARGS)

reliability: $(VENV)/.installed-test
	$(BIN)/python docs/reliability.py $(ARGS)

bits: $(VENV)/.installed-demo
	$(BIN)/python benchmarks/long/bit_quality.py $(ARGS)

starts-exam: $(VENV)/.installed-keras
	$(BIN)/python benchmarks/long/exam_of_starts.py $(ARGS)

second-list: $(VENV)/.installed-test
	$(BIN)/python benchmarks/long/unseen_agreement.py $(ARGS)

transfer: $(VENV)/.installed-test
	$(BIN)/python benchmarks/long/learning_rate_transfer.py $(ARGS)

clean:
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis build dist out
