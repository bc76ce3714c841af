# Needs make and a Python 3.11 to 3.14 with venv. `make help` lists what there is.
#
#   PYTHON=/path/to/python3.12   the interpreter to build the environment with
#   VENV=folder                  where the environment goes (default .venv)
#   ARGS="--port 4001"           more arguments for the command that is run
#   TRY=1.2.3                    the release of LiteLLM to try (litellm-gate)

SHELL := /bin/sh
VENV ?= .venv
ARGS ?=
TRY ?=
BIN := $(VENV)/bin

# The first of these that is new enough, so that an old python3 does not stand in the way of a newer one beside it.
ifndef PYTHON
PYTHON := $(shell for each in python3 python3.14 python3.13 python3.12 python3.11; do \
    $$each -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 15))' >/dev/null 2>&1 \
    && { echo $$each; exit; }; done; echo python3)
endif

.DEFAULT_GOAL := help
.PHONY: help env env-dev run test lint types imports tests soak bench docs lock audit sbom litellm-gate wheel image-steps clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-12s %s\n", $$1, $$2}' $(firstword $(MAKEFILE_LIST))

env:
	@command -v $(PYTHON) >/dev/null 2>&1 || { echo "There is no $(PYTHON) here; install Python 3.11 or newer, or name it: make run PYTHON=/path/to/python3.12" >&2; exit 1; }
	@$(PYTHON) requirements/environment.py run --venv $(VENV)

env-dev:
	@command -v $(PYTHON) >/dev/null 2>&1 || { echo "There is no $(PYTHON) here; install Python 3.11 or newer, or name it: make test PYTHON=/path/to/python3.12" >&2; exit 1; }
	@$(PYTHON) requirements/environment.py dev --venv $(VENV)

run: env ## install what is needed and start the gateway with the embedded engine
	@exec $(BIN)/rolegate serve --embedded $(ARGS)

test: lint types imports tests ## everything a change has to pass

lint: env-dev ## style and format
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: env-dev ## types
	$(BIN)/mypy $(wildcard gateway tests bench docker requirements)

imports: env-dev ## who may import whom
	$(BIN)/lint-imports

tests: env-dev ## the tests alone; ARGS goes to pytest
	$(BIN)/python -m pytest $(ARGS)

soak: env-dev ## the long forms of the tests: an hour or more
	$(BIN)/python -m pytest -m soak --hypothesis-profile=soak $(ARGS)

bench: env-dev ## measure, in one run with the stock LiteLLM proxy
	$(BIN)/python -m bench $(ARGS)

docs: env-dev ## write anew what is generated: the JSON Schema files and the guide's table of settings
	$(BIN)/python -c 'from pathlib import Path; from gateway.config.json_schema import write_schemas; print(*write_schemas(Path("config/schema")))'
	$(BIN)/python -c 'from pathlib import Path; from gateway.config.settings_table import write_table; print(*write_table(Path("docs/guide.md")))'

lock: ## resolve the dependencies anew (docs/dependencies.md says how); ARGS="--upgrade" moves to newer versions
	$(PYTHON) requirements/lock.py $(ARGS)

audit: env-dev ## look up every locked release in an advisory database, where one can be reached
	$(BIN)/python -m requirements.audit $(ARGS)

sbom: env-dev ## dist/sbom.cdx.json: what the gateway runs on, as a CycloneDX document
	$(BIN)/python -m requirements.sbom $(ARGS)

litellm-gate: env-dev ## the tests of what is taken for a fact about LiteLLM; TRY=1.2.3 for another release, in a copy
	$(BIN)/python -m requirements.$(if $(TRY),rehearsal litellm==$(TRY),gate litellm)

wheel: env-dev ## dist/*.whl
	$(BIN)/python -m hatchling build -t wheel -d dist

image-steps: ## run the container image's own steps in a plain folder, without a container engine
	@PYTHON=$(PYTHON) docker/image-steps $(ARGS)

clean: ## remove what was made here, the environment included
	rm -rf $(VENV) build dist .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis .image
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
