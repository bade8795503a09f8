# `make demo` and `make test` are all a fresh machine needs; the README spells both out.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
# the coverage of the engine is counted, and what is counted takes up to three times as long
ENGINE := tests/scenario
PARALLEL := -n auto --maxprocesses 8 --dist loadfile

.PHONY: help demo test slow lint types format bench mutants

help:                       ## this list
	@sed -n 's/^\([a-z]*\):.*## /    make \1\t/p' $(MAKEFILE_LIST)

demo: $(VENV)/.installed    ## the whole pipeline on a drawn city
	$(BIN)/python perform_scenario.py all quickstart.yml

test: $(VENV)/.installed lint types    ## style, types and all quick tests
	$(BIN)/python -m pytest -m "not slow" $(ENGINE) --cov $(PARALLEL)
	$(BIN)/python -m pytest -m "not slow" --ignore $(ENGINE) $(PARALLEL)

slow: $(VENV)/.installed    ## the tests that take minutes
	$(BIN)/python -m pytest -m slow

lint: $(VENV)/.installed    ## check the style
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/.installed   ## check the types
	$(BIN)/mypy

format: $(VENV)/.installed  ## format, and mend what can be mended
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(VENV)/.installed   ## speed, beside slow twins
	$(BIN)/python -m benchmarks

mutants: $(VENV)/.installed ## which small mistakes in the code the tests do not see
	$(BIN)/python -m pip install -r requirements/mutants.txt
	$(BIN)/python -m tests.mutants --measure --sample 200

$(VENV)/.installed: requirements.txt requirements/runtime.txt requirements/dev.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -r requirements.txt
	touch $@
