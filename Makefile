# uv installs everything into .venv, and commands run from there. A uv on PATH is used; otherwise a private one is
# installed.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

PYTHON ?= python3
UV_HOME := .tools/uv
UV := $(shell command -v uv 2>/dev/null || echo $(UV_HOME)/bin/uv)
BIN := .venv/bin
PYTEST := $(BIN)/pytest
WORKERS ?= 2
# Slow tests lie together: a worker that has done its share takes over some of another's.
PARALLEL := -n $(WORKERS) --dist worksteal
PORT ?= 6006
EXP_WORD = $(if $(EXP),"$(EXP)")
CONFIG_FLAG = $(if $(CONFIG),--config "$(CONFIG)")
need_exp = @test -n "$(EXP)" || { echo "Name an experiment: make $@ EXP=shakespeare"; exit 2; }
need_exp_or_config = @test -n "$(EXP)$(CONFIG)" || \
	{ echo "Name an experiment: make $@ EXP=shakespeare, or a file: make $@ CONFIG=my.toml"; exit 2; }

.PHONY: help setup run test unit unit-cov integration e2e acceptance lint format types imports \
	quality verify quality-ext bench tui screenshots tensorboard prepare train sample loop reference clean

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z][a-z0-9 -]*:.*## / { printf "%-34s%s\n", $$1, $$2 }' $(MAKEFILE_LIST)

$(UV_HOME)/bin/uv:
	$(PYTHON) -m venv $(UV_HOME)
	$(UV_HOME)/bin/pip install --quiet uv

# The stamp lies inside the environment, so deleting .venv asks for a new sync.
.venv/.synced: pyproject.toml | $(filter $(UV_HOME)/bin/uv,$(UV))
	$(UV) sync --compile-bytecode
	@touch $@

setup: .venv/.synced ## Install everything into .venv
	@$(if $(filter setup,$(MAKECMDGOALS)),echo "Installed into .venv. Next: make run"; \
		echo "To use the commands tp and tp-tui in this terminal: source .venv/bin/activate")

run: setup ## The main job: prepare, train and sample shakespeare, or EXP=name, CONFIG=path
	$(if $(CONFIG),$(BIN)/tp loop $(EXP_WORD) $(CONFIG_FLAG),$(BIN)/tp-tui --run $(or $(EXP_WORD),shakespeare))

test: setup ## All tests
	$(PYTEST) $(PARALLEL)

unit integration e2e acceptance: setup ## One part of the tests
	$(PYTEST) $(PARALLEL) tests/$@

unit-cov: setup ## Unit tests with the lines they do not cover
	$(PYTEST) $(PARALLEL) tests/unit --cov=transformer_playground --cov-report=term-missing:skip-covered

lint: setup ## Style and format, without changing files
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

format: setup ## Fix style and format
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

types: setup ## mypy (strict) and pyright
	$(BIN)/mypy
	$(BIN)/pyright

imports: setup ## Import contracts between packages
	$(BIN)/lint-imports

quality verify: lint types imports test ## Everything that CI runs

quality-ext: setup ## Mutation testing of PKG=checkpoints or PKG="config/loading.py …"; resumable
	@test -n "$(PKG)" || { echo "Name packages or modules: make $@ PKG=\"checkpoints config/loading.py\""; exit 2; }
	PYTHONPATH=tests $(BIN)/python -m mutation $(PKG) --workers $(WORKERS) $(if $(TESTS),--tests $(TESTS)) $(if $(SECONDS_EACH),--seconds $(SECONDS_EACH))

bench: setup ## Speed, as ratios measured side by side
	for script in benchmarks/*.py; do $(BIN)/python $$script; done

tui: setup ## Open the console
	$(BIN)/tp-tui

screenshots: setup ## Regenerate the pictures of the console in docs/pictures
	$(BIN)/python docs/take_pictures.py

tensorboard: setup ## Curves in a browser on 127.0.0.1; LOGDIR=folder for one folder of runs or events
	$(BIN)/tp tensorboard --port $(PORT) $(if $(LOGDIR),--runs-dir "$(LOGDIR)")

prepare train loop: setup ## One step for EXP=name, CONFIG=path or both
	$(need_exp_or_config)
	$(BIN)/tp $@ $(EXP_WORD) $(CONFIG_FLAG)

sample: setup ## Samples of the latest run of EXP=name
	$(need_exp)
	@test -z "$(CONFIG)" || { echo "make sample takes no CONFIG: a run keeps its own settings."; exit 2; }
	$(BIN)/tp sample $(EXP_WORD)

reference: setup ## Regenerate experiments/default_config.toml from the schema
	@mkdir -p .cache
	$(BIN)/python -m transformer_playground.config.reference > .cache/default_config.toml
	mv .cache/default_config.toml experiments/default_config.toml

clean: ## Remove the environment and caches; runs and data stay
	rm -rf .venv .tools .cache .mypy_cache .ruff_cache .pytest_cache .hypothesis uv.lock
