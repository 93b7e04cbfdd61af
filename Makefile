# Everything a newcomer needs: `make run`, `make test`. All of it lives in .venv; another version of Python gets an
# environment of its own: `make test PYTHON=python3.13 VENV=.venv-3.13`.

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
RUNTIME := $(VENV)/.runtime
# Containers often set it; every server that a test starts would then compile everything again.
unexport PYTHONDONTWRITEBYTECODE
INSTALL := $(BIN)/pip install --quiet --disable-pip-version-check --require-hashes
# The packages of this folder, changes to them included, and the command `comanda`.
INSTALL_ITSELF := $(BIN)/pip install --quiet --disable-pip-version-check --no-build-isolation --no-deps --editable .
# What runs in one process, without a server: logic, and the contract that the stores in memory share with SQLite's.
COVERED := 78
# Rules about the repository itself are left to `make test`.
UNIT_TESTS := --ignore-glob='tests/unit/test_*.py' -m 'not server and not engine' --hypothesis-profile=quick tests/unit \
	$(addprefix tests/contract/test_,order_store.py order_feed.py record_store.py record_names.py book_index.py)
# What behaves differently from one version of Python to the next: the parts by themselves, pickles, signals, spawned
# processes, SQLite.
VERSION_TESTS := -m 'not server' tests/unit tests/contract tests/integration/test_startup.py \
	tests/integration/test_supervisor.py tests/integration/test_work.py

.DEFAULT_GOAL := help
.PHONY: help setup run unit cover test test-version lint format settings loadtest bench bench-peers chaos chaos-long lock clean wipe

help: ## Show this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{ printf "  make %-12s %s\n", $$1, $$2 }'

setup: $(STAMP) ## Install everything into .venv, or into VENV

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo 'Comanda needs Python 3.11 or newer; name one with: make setup PYTHON=python3.12' >&2; exit 2; }
	@echo 'Making an environment in $(VENV) …'
	@$(PYTHON) -m venv $(VENV)

$(STAMP): requirements-dev.lock requirements-build.lock pyproject.toml | $(BIN)/python
	@echo 'Installing Comanda and its tools into $(VENV) (once, some minutes) …'
	@$(INSTALL) -r requirements-dev.lock -r requirements-build.lock
	@$(INSTALL_ITSELF)
	@touch $(STAMP) $(RUNTIME)

$(RUNTIME): requirements.lock requirements-build.lock pyproject.toml | $(BIN)/python
	@echo 'Installing Comanda into $(VENV) (once, about a minute) …'
	@$(INSTALL) -r requirements.lock -r requirements-build.lock
	@$(INSTALL_ITSELF)
	@touch $(RUNTIME)

run: $(RUNTIME) ## Start the suite on SQLite; Ctrl-C stops it
	@echo 'Starting Comanda; Ctrl-C stops it.'
	@$(BIN)/comanda run

unit: $(STAMP) ## Run the tests of logic, which take seconds
	$(BIN)/python -m pytest -n 2 $(UNIT_TESTS)

cover: $(STAMP) ## Show which statements those tests do not reach; at least COVERED % have to be
	$(BIN)/python -m pytest -n 2 --cov --cov-report=term --cov-fail-under=$(COVERED) $(UNIT_TESTS)

test: $(STAMP) .venv-dynamodb/.installed ## Run every test
	$(BIN)/python -m pytest -n 3 --dist worksteal

test-version: $(STAMP) .venv-dynamodb/.installed ## Run the tests that depend on the version of Python
	$(BIN)/python -m pytest -n 3 --dist worksteal $(VERSION_TESTS)

lint: $(STAMP) ## Check style, types and layers
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(STAMP) ## Put the code into its one style
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

settings: $(STAMP) ## Write docs/SETTINGS.md from the types of the settings and the comments in .env.local
	$(BIN)/python -m tests.tools.settings_reference > docs/SETTINGS.md

loadtest: $(RUNTIME) ## Put the running suite under load, and check that nothing is lost
	@$(BIN)/comanda loadtest --verify --report loadtest.html

bench: .venv-bench/.installed .venv-dynamodb/.installed ## Measure Comanda beside its peers, and write docs/PERFORMANCE.md
	.venv-bench/bin/python -m tests.benchmarks

bench-peers: .venv-peers/.installed ## Compare Comanda with task queues, kills included, and write docs/PEERS.md
	.venv-peers/bin/python -m tests.benchmarks.queues

chaos: $(STAMP) .venv-fuzz/.installed .venv-dynamodb/.installed ## Break the suite in every way, and prove that nothing is lost
	SHOP_CHECKOUTS=500 $(BIN)/python -m tests.chaos
	SHOP_KILLS=60 $(BIN)/python -m pytest tests/integration/test_shop.py
	API_EXAMPLES=20 $(BIN)/python -m pytest tests/integration/gateway/test_description.py
	SQL_BOMBS=all $(BIN)/python -m pytest tests/unit/lake/test_sandbox.py
	CHAOS_EXAMPLES=300 $(BIN)/python -m pytest tests/chaos/test_bugs.py tests/chaos/test_wire.py
	.venv-fuzz/bin/python -m tests.chaos.fuzz -max_total_time=60

chaos-long: $(STAMP) .venv-dynamodb/.installed ## The same with over a thousand kills and a million orders; writes docs/RELIABILITY.md
	$(BIN)/python -m tests.chaos --scale 42 --report docs/RELIABILITY.md

# What only one of the tools above needs has an environment of its own.
.venv-%/.installed: requirements-%.lock
	$(PYTHON) -m venv .venv-$*
	.venv-$*/bin/pip install --quiet --disable-pip-version-check --require-hashes -r $<
	@touch $@

COMPILE := uv pip compile --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header \
	--no-annotate --quiet --upgrade

lock: ## Renew the lock files; needs uv
	$(COMPILE) pyproject.toml -o requirements.lock
	for extra in traces lake dev bench peers fuzz; do \
		$(COMPILE) --extra $$extra pyproject.toml -o requirements-$$extra.lock || exit; \
	done
	for group in client build; do \
		$(COMPILE) --constraint requirements-dev.lock --group pyproject.toml:$$group -o requirements-$$group.lock || exit; \
	done
	# A DynamoDB-compatible server for the tests; it pins another botocore than aioboto3 does.
	echo 'ministack==1.5.33' | $(COMPILE) - -o requirements-dynamodb.lock

clean: ## Remove environments and caches; data stays
	rm -rf .venv .venv-* .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find . -path ./data -prune -o -name __pycache__ -type d -prune -exec rm -rf {} +

wipe: ## Delete the folder data with every order in it, after a question (CONFIRM=yes answers it)
	@if [ ! -d data ]; then echo 'There is no folder data.'; exit 0; fi; \
	if [ -z "$(CONFIRM)" ]; then \
		[ -t 0 ] || { echo 'make wipe asks first, and here is no terminal; make wipe CONFIRM=yes deletes $(CURDIR)/data' >&2; exit 2; }; \
		printf 'This deletes every order, record and upload in %s (%s). Stop the suite first.\nType yes to delete: ' \
			'$(CURDIR)/data' "$$(du -sh data | cut -f1)"; \
		read -r answer; \
	else \
		answer='$(CONFIRM)'; \
	fi; \
	[ "$$answer" = yes ] || { echo 'Nothing was deleted.'; exit 1; }; \
	rm -rf data; echo 'Deleted.'
