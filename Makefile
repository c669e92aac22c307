# `make run` and `make test` need Python >= 3.11 and make, and nothing else installed by hand.
PYTHON ?= python3
BIN := .venv/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check install --quiet --constraint constraints.txt

.PHONY: setup run test check bench matrix format clean

setup: .venv/.ready
run: .venv/.ready
	$(BIN)/python -m pipelines run --sandbox

test: .venv/.ready-test
	PYTHONDONTWRITEBYTECODE= $(BIN)/python -m pytest -n 3  # tests that were compiled once are not compiled again

check: .venv/.ready-test
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: .venv/.ready-test
	$(BIN)/python -m benchmarks $(ARGS)

# Needs the Pythons, and asks the package index for the newest of everything: see CONTRIBUTING.md.
matrix:
	$(PYTHON) benchmarks/matrix.py $(ARGS)

format: .venv/.ready-test
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

clean:
	rm -rf .venv .matrix data/sandbox

# The stamps say which pins a virtual environment was made from: another pin makes it anew where it differs.
.venv/.ready: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is needed, this is " + sys.version.split()[0] if sys.version_info < (3, 11) else 0)'
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@echo "Installing the pinned packages (once, about a minute) ..."
	@$(PIP) pip
	@$(PIP) .
	@touch $@

.venv/.ready-test: .venv/.ready
	@$(PIP) --group test --group lint
	@touch $@
