# Everything happens in .venv; Python 3.11 or newer is all that is needed.
PYTHON ?= python3
BIN := .venv/bin

# Every study of the paper on the tiny zoo; each header says what it asks, how long it takes and what will count as which outcome.
STUDIES := sources_tiny ablation_tiny width_tiny across_tiny scale_tiny corruptions_tiny

.PHONY: help setup demo studies results test test-slow check docs bench clean

help:  ## this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 10

setup: .venv/ready  ## install matboard and its tools into .venv

.venv/ready: pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit("matboard needs Python 3.11 or newer; try: make PYTHON=python3.11 setup" if sys.version_info < (3, 11) else 0)'
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt "torch==2.13.0"
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[dev]"
	@touch $@

demo: setup  ## learn a border on one tiny model, judge it on six, write a report
	$(BIN)/matboard demo

studies: setup  ## every study on the tiny zoo, two at a time, about an hour; give it again to go on
	OMP_NUM_THREADS=1 $(MAKE) --no-print-directory -j 2 $(STUDIES:%=study-%) study-search study-cost
	$(BIN)/matboard analyse runs/ablation_tiny
	$(BIN)/matboard report runs/ablation_tiny

study-%:
	$(BIN)/matboard fit experiments/$*.yaml
	$(BIN)/matboard report runs/$*

study-search:
	$(BIN)/matboard search experiments/search_tiny.yaml --trials 12
	$(BIN)/matboard report runs/search_tiny

study-cost:
	test -f runs/cost_tiny/results.json || $(BIN)/python benchmarks/cost.py --model tiny-minigpt4 --out runs/cost_tiny
	$(BIN)/matboard report runs/cost_tiny

results: setup  ## docs/results.md from the finished studies in runs/
	$(BIN)/python docs/tables.py keep runs

test: setup  ## the tests, on two cores
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile

test-slow: setup  ## the exhaustive tests, which take long
	$(BIN)/python -m pytest -m slow

check: setup  ## style, types, and which part may import which
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

docs: setup  ## the pages of docs/ as a site, in site/
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet
	@echo site/index.html

bench: setup  ## speed, as ratios measured side by side
	$(BIN)/python benchmarks/bench.py
	$(BIN)/python benchmarks/continual.py
	$(BIN)/python benchmarks/cost.py
	$(BIN)/python benchmarks/proxy.py

clean:  ## remove .venv and caches, keep runs
	rm -rf .venv site .mypy_cache .ruff_cache .pytest_cache .import_linter_cache
