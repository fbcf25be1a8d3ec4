# What a developer does, each as one command. `make` alone lists them.
SHELL := bash
.DEFAULT_GOAL := help
.PHONY: help setup system demo lint types floors core test test-core test-pyside test-newest bench bench-gpu docs docs-serve coverage check clean

VENV := .venv
CORE_VENV := .venv-core
BENCH_VENV := .venv-bench
NEWEST_VENV := .venv-newest
BIN := $(VENV)/bin
# A process for each core, up to four as each needs a gigabyte; the tests of one file stay together.
SPREAD := -n logical --maxprocesses 4 --dist loadfile
DEMO := demo

# The real images and networks that some tests use; those tests are skipped where this is not set.
ifneq ($(wildcard ../shared/data),)
export TILESEG_DATA ?= $(abspath ../shared/data)
endif

help:  ## List these commands
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

setup: system $(VENV)/.installed  ## Make .venv with everything that the other commands need

system:
	@scripts/system_libraries.sh

$(VENV)/.installed: pyproject.toml constraints.txt scripts/make_venv.sh
	@scripts/make_venv.sh $(VENV) "[dev]"

# A machine of a cluster has neither napari nor Qt.
$(CORE_VENV)/.installed: pyproject.toml constraints.txt scripts/make_venv.sh Makefile
	@scripts/make_venv.sh $(CORE_VENV) "" pytest pytest-xdist hypothesis

# What the benchmark compares with is large, and nothing else needs it.
$(BENCH_VENV)/.installed: pyproject.toml constraints.txt scripts/make_venv.sh
	@scripts/make_venv.sh $(BENCH_VENV) "[bench]"

# What a user gets whose pip chooses: the newest of everything but torch. A day's answer, so it is not among the checks.
$(NEWEST_VENV)/.installed: pyproject.toml constraints.txt scripts/make_venv.sh
	@NEWEST=1 scripts/make_venv.sh $(NEWEST_VENV) "[dev]" --upgrade --upgrade-strategy eager

demo: setup  ## Open napari with a sample volume, a network and a running prediction
ifeq ($(shell uname)$(DISPLAY)$(WAYLAND_DISPLAY),Linux)
	@scripts/with_display.sh $(BIN)/tileseg demo --headless --out $(DEMO)
else
	@$(BIN)/tileseg demo
endif

lint: $(VENV)/.installed  ## Look for mistakes and untidy code
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/.installed  ## Check the types
	$(BIN)/mypy

floors: $(VENV)/.installed  ## Check that imports only point down
	$(BIN)/lint-imports

test: setup  ## Run the tests
	@QT_API=pyqt6 PYTEST_QT_API=pyqt6 scripts/with_display.sh \
	    $(BIN)/python -m pytest $(SPREAD) --durations=15 --check-litter $(PYTEST_ARGS)

test-pyside: setup  ## Run the tests of the widgets under PySide6
	@$(BIN)/python -m pip install --quiet --quiet --disable-pip-version-check --constraint constraints.txt PySide6
	@QT_API=pyside6 PYTEST_QT_API=pyside6 scripts/with_display.sh \
	    $(BIN)/python -m pytest $(SPREAD) --durations=5 tests/_qt tests/_napari $(PYTEST_ARGS)

test-newest: system $(NEWEST_VENV)/.installed  ## Run the tests with the newest versions of everything, on Python 3.12 or later
	@QT_API=pyqt6 PYTEST_QT_API=pyqt6 scripts/with_display.sh \
	    $(NEWEST_VENV)/bin/python -m pytest $(SPREAD) --durations=15 --check-litter $(PYTEST_ARGS)

test-core: $(CORE_VENV)/.installed  ## Run what needs neither napari nor Qt where neither is installed
	@$(CORE_VENV)/bin/python -m pytest $(SPREAD) --durations=5 -p no:cacheprovider tests/test_core_alone.py tests/test_settings.py tests/tiling tests/engine

bench: $(BENCH_VENV)/.installed  ## Compare ways to predict: time, memory, operations, error (an hour and more)
	@$(BENCH_VENV)/bin/python benchmarks/bench.py $(BENCH_ARGS)

bench-gpu: $(VENV)/.installed  ## Predict 1024^3 voxels on a CUDA device: voxels a second, share of its rate
	@$(BIN)/python benchmarks/bench_gpu.py $(BENCH_ARGS)

coverage: setup  ## Run the tests and report what they reach; fails below fail_under in pyproject.toml
	@$(MAKE) --no-print-directory test PYTEST_ARGS="--cov --cov-report=term-missing:skip-covered"

docs: $(VENV)/.installed  ## Build the documentation in site/
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

docs-serve: $(VENV)/.installed  ## Show the documentation in a browser, rebuilt when it is edited
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs serve

check: lint types floors docs test-core  ## Everything that continuous integration runs
	@$(MAKE) --no-print-directory test

clean:  ## Remove the environments and everything else that can be made again
	rm -rf $(VENV) $(CORE_VENV) $(BENCH_VENV) $(NEWEST_VENV) $(DEMO) site htmlcov .coverage .pytest_cache .mypy_cache .ruff_cache .import_linter_cache
