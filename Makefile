# Each target works on a fresh machine: what it needs is installed into .venv first, once.
# Another Python:      make test PYTHON=python3.12
# Arguments to pass:   make test ARGS="-m slow tests/layers"

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
ARGS :=

# The stamps are newer than pyproject.toml exactly when what it asks for is installed.
DEMO_READY := $(VENV)/.installed-demo
DEV_READY := $(VENV)/.installed-dev

.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help demo test check fix bench

help:  ## List the commands
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/make \1	\2/p' Makefile | expand -t 14

demo: $(DEMO_READY)  ## Quantize a small transformer on handwritten digits, and see what it costs
	@$(BIN)/python examples/digits.py $(ARGS)

test: $(DEV_READY)  ## Run the tests that take no GPU and little time
	$(BIN)/python -m pytest -n 2 $(ARGS)

check: $(DEV_READY)  ## Run all that has to pass before a change lands
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy --strict
	$(BIN)/lint-imports
	@$(MAKE) --no-print-directory test

fix: $(DEV_READY)  ## Format the code, and repair what ruff can repair
	$(BIN)/ruff check --fix-only
	$(BIN)/ruff format

bench: $(DEMO_READY)  ## Measure a training step, quantized against float
	@$(BIN)/python benchmarks/qat_step.py $(ARGS)

$(DEMO_READY): pyproject.toml
	$(call install,demo)
	@touch $@

# The developer's tools include the demo's.
$(DEV_READY): pyproject.toml
	$(call install,dev)
	@touch $(DEMO_READY) $@

# A working .venv is kept. A missing, half-made or too old one is made anew, so an interruption heals by itself.
# pip speaks only when it fails: its warnings about mirrors and caches say nothing about stillbit.
define install
	@$(BIN)/python -c '$(NEW_ENOUGH); import pip' 2>/dev/null \
	|| $(PYTHON) -c '$(NEW_ENOUGH)' 2>/dev/null \
	|| { echo "stillbit needs Python 3.11 or newer, and $(PYTHON) is not:" \
	          "say which one to use, as in 'make $(MAKECMDGOALS) PYTHON=python3.12'." >&2; exit 1; }
	@$(BIN)/python -c '$(NEW_ENOUGH); import pip' 2>/dev/null || $(PYTHON) -m venv --clear $(VENV)
	@echo "Installing stillbit[$(1)] into $(VENV). This happens once, and takes a few minutes."
	@$(BIN)/python -m pip install -qq --disable-pip-version-check -e ".[$(1)]"
endef
NEW_ENOUGH := import sys; sys.exit(1) if sys.version_info < (3, 11) else None
