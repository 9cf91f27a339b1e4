# `make optimize` and `make test` set everything up by themselves: Python 3.11+ and Rust are all they need.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:

PYTHON ?= python3
VENV ?= .venv
# More options for `prime-fast optimize`, `pytest` or `cargo bench`: make optimize ARGS='--app U-Net --budget quick'
ARGS ?=

BIN := $(VENV)/bin
SOURCES := $(shell find rust -type f -not -path '*/target/*') Cargo.toml $(wildcard Cargo.lock)
# One interpreter for every build of the bindings, so that Cargo doesn't rebuild them from target to target.
export PYO3_PYTHON := $(abspath $(BIN))/python
export VIRTUAL_ENV := $(abspath $(VENV))
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: optimize test test-python test-rust lint lint-python lint-rust bench docs build clean

optimize: build
	$(BIN)/prime-fast optimize $(ARGS)

test: lint test-rust test-python

test-python: $(VENV)/.built $(VENV)/.dev
	JAX_PLATFORMS=cpu $(BIN)/python -m pytest --numprocesses auto --maxprocesses 4 --dist loadfile $(ARGS)

test-rust: $(VENV)/.venv
	cargo test --workspace --locked

lint: lint-rust lint-python

lint-rust: $(VENV)/.venv
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --locked -- -D warnings
	@tree="$$(cargo tree --locked -p prime-fast-core --edges all)"; \
	if grep -n pyo3 <<<"$$tree"; then echo "prime-fast-core must not depend on pyo3" >&2; exit 1; fi

lint-python: $(VENV)/.built $(VENV)/.dev
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/stubtest prime_fast._core

bench: $(VENV)/.venv
	cargo bench --workspace --locked $(ARGS)

# Into target/site; `make docs SITE=serve` shows it at localhost:8000 and follows changes.
SITE ?= build --strict --clean
docs: $(VENV)/.built $(VENV)/.dev
	PYTHONPATH=docs $(BIN)/zensical $(SITE)

build: $(VENV)/.built

clean:
	rm -rf $(VENV) target .pytest_cache .mypy_cache .ruff_cache .hypothesis python/prime_fast/_core.*.so

$(VENV)/.venv:
	@command -v cargo >/dev/null || { echo "Rust is missing: install it from https://rustup.rs" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Python 3.11 or later is needed: make PYTHON=/path/to/python3.11" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet 'pip>=25.1'
	touch $@

# `pip install --group` reads the dependency groups of pyproject.toml.
$(VENV)/.dev: pyproject.toml $(VENV)/.venv
	$(BIN)/python -m pip install --quiet --group dev
	$(BIN)/python -m pip install --quiet --no-deps --group models
	touch $@

$(VENV)/.built: pyproject.toml $(SOURCES) $(VENV)/.venv
	$(BIN)/python -m pip install --quiet --group build
	$(BIN)/maturin develop --release --locked
	touch $@
