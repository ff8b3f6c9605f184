# make demo    an environment, then a whole benchmark on the shipped example; report.html at the end
# make test    the test suite
# make check   what must hold before a change goes in: format, lint, types, tests

PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin
# Two files of tests at a time: a Ray of each keeps a core busy while it starts, so a third makes all of them slower.
PYTEST = HF_HUB_OFFLINE=1 $(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder --durations=40

.PHONY: demo test check clean

demo: $(VENV)/installed
	$(BIN)/automl demo

test: $(VENV)/installed
	$(PYTEST)

check: $(VENV)/installed
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(PYTEST)

# Every version is pinned: the same environment today and in a year.
$(VENV)/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[dev]"
	@touch $@

clean:
	rm -rf $(VENV) build dist .pytest_cache .mypy_cache .ruff_cache
