# `make demo` and `make test` are all a fresh machine needs; the README spells both out.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin

.PHONY: demo test slow lint bench

demo: $(VENV)/.installed
	$(BIN)/python perform_scenario.py all quickstart.yml

test: $(VENV)/.installed lint
	$(BIN)/python -m pytest -m "not slow"

slow: $(VENV)/.installed
	$(BIN)/python -m pytest -m slow

lint: $(VENV)/.installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

bench: $(VENV)/.installed
	$(BIN)/python -m benchmarks

$(VENV)/.installed: requirements.txt requirements/runtime.txt requirements/dev.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -r requirements.txt
	touch $@
