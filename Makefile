PYTHON ?= python3
CORES ?= all
WITH_ENVIRONMENT := PATH="$(CURDIR)/.venv/bin:$$PATH"

.PHONY: run test lint docs environment

run: environment
	$(WITH_ENVIRONMENT) snakemake --cores $(CORES) --resources gpu=1

test: environment
	$(WITH_ENVIRONMENT) OMP_NUM_THREADS=1 python -m pytest --numprocesses auto

lint: environment
	$(WITH_ENVIRONMENT) ruff check
	$(WITH_ENVIRONMENT) ruff format --check
	$(WITH_ENVIRONMENT) snakefmt --check Snakefile workflow
	$(WITH_ENVIRONMENT) snakemake --lint

docs: environment
	$(WITH_ENVIRONMENT) mkdocs build

environment: .venv/complete

.venv/locked: requirements.lock
	@$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("Python 3.11 or newer is needed: make PYTHON=...")'
	$(PYTHON) -m venv --clear .venv
	.venv/bin/python -m pip install --require-hashes --requirement requirements.lock
	touch $@

.venv/complete: .venv/locked pyproject.toml
	.venv/bin/python -m pip install --no-deps --no-build-isolation --editable .
	touch $@
