# One way to do each thing. `make install` first; the rest call it by themselves.
PYTHON ?= python3
BIN := .venv/bin
INSTALLED := .venv/.installed

.PHONY: install demo test torture check format bench screenshots clean

install: $(INSTALLED)

$(INSTALLED): pyproject.toml requirements.txt requirements-dev.txt
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check \
		--constraint requirements.txt --constraint requirements-dev.txt --editable '.[dev]'
	touch $@

demo: install
	$(BIN)/runplane demo

test: install
	$(BIN)/python -m pytest -n 2 --dist worksteal

torture: install
	$(BIN)/python -m tests.torture

check: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m tests.lifecycle_diagram --check

format: install
	$(BIN)/ruff check --fix-only --quiet .
	$(BIN)/ruff format .

bench: install
	$(BIN)/python -m benchmarks

screenshots: install
	$(BIN)/python -m tests.screenshots

clean:
	rm -rf .venv build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
