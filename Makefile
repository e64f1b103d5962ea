# `make run` and `make test` do all the set-up they need.
PYTHON ?= python3
PIPELINE ?= pipelines/digits.yaml
BIN := .venv/bin

.PHONY: run test lint check clean

.venv/.installed: pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --editable '.[train,test]'
	touch $@

run: .venv/.installed
	$(BIN)/edgekd run $(PIPELINE)

test: .venv/.installed
	$(BIN)/python -m pytest -n 2 --dist loadfile

lint: .venv/.installed
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

check: lint test

clean:
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache
