# Each target works on a fresh machine: what it needs is installed into .venv first, once.
# Another Python:      make test PYTHON=python3.12
# Arguments to pass:   make test ARGS="-m slow tests/layers"

PYTHON ?= python3
# Of a study: one process for each, such as cuda:0,cuda:1; and minutes.
DEVICES ?= auto
BUDGET ?=
VENV := .venv
BIN := $(VENV)/bin
ARGS :=

# The demo's runs go on where they were stopped; `rm -r demo` begins anew.
DEMO := --data-dir demo/fractals --output demo --resume auto --batch-size 64 --scale 0.35 1 --workers 1
CHILD := --bits w2a2 --initial-checkpoint demo/float --epochs 5 --lr 2e-3

# The stamps are newer than pyproject.toml exactly when what it asks for is installed.
DEMO_READY := $(VENV)/.installed-demo
DEV_READY := $(VENV)/.installed-dev

.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help demo test check fix bench study

help:  ## List the commands
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/make \1	\2/p' Makefile | expand -t 14

demo: $(DEMO_READY)  ## Train a small transformer on fractals, quantize it to two bits, and compare
	$(BIN)/stillbit data fractals --output demo/fractals --classes 10 --images 400 --val-images 100
	$(BIN)/stillbit train fp $(DEMO) --experiment float --epochs 16 --lr 2e-3 --warmup-epochs 2
	$(BIN)/stillbit train lsq $(DEMO) --experiment lsq $(CHILD)
	$(BIN)/stillbit train statsq $(DEMO) --experiment statsq $(CHILD)
	$(BIN)/stillbit runs demo
	$(BIN)/stillbit export demo/statsq
	@printf '%s\n' '' 'What the two-bit model computes on, layer by layer:    $(BIN)/stillbit info demo/statsq' \
		'What other options there are:                          $(BIN)/stillbit train statsq --help' \
		'The same in Python, on your own model:                 README.md, docs/tour.md'

test: $(DEV_READY)  ## Run the tests that take no GPU and little time
	@$(CHROMIUM)
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

bench: $(DEMO_READY)  ## Measure: a step quantized against float, the loop, the loader
	@$(BIN)/python benchmarks/qat_step.py $(ARGS)
	@$(BIN)/python benchmarks/loop.py
	@$(BIN)/python benchmarks/loader.py

study: $(DEMO_READY)  ## Compare methods over seeds; BUDGET=60 is how many minutes it may take
	$(BIN)/stillbit study benchmarks/study/smoke.toml --devices $(DEVICES)
	@$(if $(BUDGET),,echo 'That was the smoke. BUDGET=MINUTES does as much of the tables as fits into them.')
	$(if $(BUDGET),$(BIN)/stillbit study benchmarks/study/tables.toml --devices $(DEVICES) --budget $(BUDGET))

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

# The tests of the report want a real browser, and are skipped without one. Only Debian's, and only for root.
CHROMIUM := command -v chromium >/dev/null || command -v chromium-browser >/dev/null || command -v google-chrome >/dev/null \
	|| { [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null \
		&& echo "Installing chromium, for the tests of the report. This happens once." \
		&& { apt-get install -y -qq chromium >/dev/null 2>&1 \
			|| { apt-get update -qq >/dev/null 2>&1 && apt-get install -y -qq chromium >/dev/null 2>&1; }; }; } \
	|| echo "There is no chromium: the tests of the report in a browser are skipped."
NEW_ENOUGH := import sys; sys.exit(1) if sys.version_info < (3, 11) else None
