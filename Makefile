# Two commands are all you need: `make demo` and `make test`. Both share one environment, .venv.
# Another interpreter: `make PYTHON=/path/to/python demo`.

PYTHON ?=
VENV := .venv
PY := $(VENV)/bin/python
PIP := $(PY) -m pip install --no-input --disable-pip-version-check --quiet --retries 10 --timeout 60 -c constraints.txt
INPUTS := pyproject.toml constraints.txt

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.NOTPARALLEL:
.PHONY: help demo test lint types imports format bench bench-reliability docs clean

help:
	@echo "make demo    watch a model being kept current on real data; writes demo-report/report.html"
	@echo "make test    lint, types, import contracts and all tests"
	@echo "make lint    ruff: rules and format         make types    mypy --strict"
	@echo "make imports who may import whom            make format   mend what ruff can mend"
	@echo "make bench   speed of start-up and training make docs     rebuild the generated pages"
	@echo "make bench-reliability  kill, corrupt, fuzz and starve it for about two hours; writes results/reliability.json"
	@echo "make clean   remove .venv, caches and demo-report"

# The environment: made once, filled again only when what it is made from changes.
$(VENV)/.made:
	@set -e; found=; \
	for name in $(PYTHON) python3 python3.14 python3.13 python3.12 python3.11 python; do \
	  if "$$name" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; then found=$$name; break; fi; \
	done; \
	if [ -z "$$found" ]; then \
	  echo "Headstart needs Python 3.11 or newer and none was found | got: $$(python3 --version 2>&1 || true)" \
	       "| fix: install it, or name it: make PYTHON=/path/to/python demo" >&2; exit 2; \
	fi; \
	"$$found" -m venv $(VENV) || { \
	  echo "the environment $(VENV) could not be made with $$found" \
	       "| fix: install Python's venv module (Debian, Ubuntu: python3-venv), then run make again" >&2; exit 2; }; \
	touch $@

$(VENV)/.demo: $(VENV)/.made $(INPUTS)
	@echo "installing Headstart and what the demo needs into $(VENV) (PyTorch is large: minutes, once)"
	@$(PIP) -e '.[demo]'
	@touch $@

$(VENV)/.dev: $(VENV)/.made $(INPUTS)
	@echo "installing Headstart and what the tests need into $(VENV) (PyTorch is large: minutes, once)"
	@$(PIP) -e '.[dev]'
	@touch $(VENV)/.demo $@

demo: $(VENV)/.demo
	@$(VENV)/bin/headstart demo --out demo-report
	@echo "report: $(CURDIR)/demo-report/report.html"

# One thread in each of up to four workers: faster than many threads in one, and the same numbers.
test: lint types imports
	@workers=$$($(PY) -c 'import os; print(min(4, len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1))'); \
	OMP_NUM_THREADS=1 $(PY) -m pytest -n "$$workers"

lint: $(VENV)/.dev
	@$(PY) -m ruff check .
	@$(PY) -m ruff format --check .

types: $(VENV)/.dev
	@$(PY) -m mypy

imports: $(VENV)/.dev
	@$(VENV)/bin/lint-imports --no-cache

format: $(VENV)/.dev
	@$(PY) -m ruff check --fix .
	@$(PY) -m ruff format .

bench: $(VENV)/.dev
	@set -e; for file in benchmarks/*.py; do echo "== $$file"; $(PY) "$$file"; done

# Names of campaigns run some: make bench-reliability CAMPAIGNS="kills power"
bench-reliability: $(VENV)/.dev
	@OMP_NUM_THREADS=1 $(PY) -m benchmarks.reliability $(CAMPAIGNS)

docs: $(VENV)/.dev
	@$(PY) docs/build.py

clean:
	rm -rf $(VENV) demo-report build dist .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
