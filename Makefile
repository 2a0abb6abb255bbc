# What people type. `make` alone lists the targets.
SHELL := /bin/sh
PYTHON ?= python3
BIN := .venv/bin

.DEFAULT_GOAL := help
.PHONY: help setup demo up down status test check check-slow bench clean

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-11s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: .venv/.ready ## Make .venv and install the locked packages (again only when the lock changes)

.venv/.ready: requirements.lock pyproject.toml .ci/setup
	@PYTHON="$(PYTHON)" .ci/setup

demo: setup ## Start everything, send a month of usage, bill it, show the invoices
	@$(BIN)/aforo demo

up: setup ## Start the stack in the background
	@$(BIN)/aforo up

down: setup ## Stop the stack; data is kept
	@$(BIN)/aforo down

status: setup ## Show the processes and where they are
	@$(BIN)/aforo status

check: setup ## Lint, format, types, floors
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy domain transforms api/edge
	$(BIN)/lint-imports

test: check ## Everything but the long runs
	$(BIN)/python -m pytest -n 2 --dist worksteal -m "not slow"

check-slow: setup ## The long runs: kill tests, the whole stack, large data
	$(BIN)/python -m pytest -n 2 --dist worksteal -m slow

bench: setup ## Measure the numbers we promise
	$(BIN)/python -m benchmarks

clean: ## Remove .venv and caches (not the data)
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .import_linter_cache build *.egg-info
