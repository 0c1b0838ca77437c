# `make demo` and `make test` do everything on a fresh Debian or Ubuntu machine; `make` alone lists what there is.
BIN := .venv/bin
WORKERS ?= auto
# What the example apps are built on; made once, so that no test waits for them.
TEST_IMAGES := debian:13-slim python:3.13-slim node:22-slim golang:1.24 php:8.4-cli ruby:3.3-slim

.DEFAULT_GOAL := help
.PHONY: help demo up test test-quick lint bench images lock clean

help: ## This list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/  make \1|\2/' | column -t -s '|'

demo: ## Platform up, with the sample app built and served at its own address
	@scripts/bootstrap --engine
	@exec $(BIN)/devflow demo

up: ## Platform up
	@scripts/bootstrap --engine
	@exec $(BIN)/devflow up

test: ## Everything: lint, types, contracts, all tests
	@scripts/bootstrap --test
	@$(BIN)/devflow images build $(TEST_IMAGES)
	@$(MAKE) --no-print-directory lint
	$(BIN)/pytest -n $(WORKERS) --dist loadfile

test-quick: ## Lint and the tests that take no more than seconds
	@scripts/bootstrap --test
	@$(MAKE) --no-print-directory lint
	$(BIN)/pytest -n $(WORKERS) --dist loadfile -m "not slow"

lint: ## Style, types, import contracts
	@scripts/bootstrap --dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy devflow scripts/bootstrap.py
	$(BIN)/lint-imports

bench: ## Measurements: ratios against a raw reference taken in the same run
	@scripts/bootstrap --test
	$(BIN)/python -m tests.bench

images: ## Base images from the distribution's packages, for a server without a registry
	@scripts/bootstrap --engine
	@exec $(BIN)/devflow images build

lock: ## Lock files anew, within the bounds of pyproject.toml
	@scripts/bootstrap --dev
	@scripts/lock

clean: ## Remove the virtual environment and caches; data in var/ stays
	rm -rf .venv build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .import_linter_cache
	find devflow tests scripts -name __pycache__ -prune -exec rm -rf {} +
