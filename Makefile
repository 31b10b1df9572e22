# Each target does its own set-up; a second run finds it done.
PYTHON ?= python3
VENV := .venv/bin
# Each has servers of its own; most of what tests do is to wait for those.
TEST_PROCESSES ?= 3
PYTEST := $(VENV)/python -m pytest -n $(TEST_PROCESSES) --dist loadfile --no-loadscope-reorder

# What holds for the compiled reader of records holds without it.
BY_PYTHON_ALONE := tests/pipeline/test_direct.py tests/pipeline/test_dead_letters.py tests/pipeline/test_hostile_input.py \
	tests/pipeline/test_first_twin_wins.py tests/pipeline/test_kafka_shapes.py tests/pipeline/test_poison.py

# Hundreds of processes start in a run of the tests: none is to compile what the one before it compiled.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: setup demo test test-long fuzz up bench chaos soak lint lock contract

setup:
	@$(PYTHON) infra/bootstrap.py

demo: setup
	@$(VENV)/scanline demo

# Every promise of docs/reliability.md, within minutes.
test: setup lint
	@$(PYTHON) infra/bootstrap.py client
	@$(PYTHON) infra/bootstrap.py browser
	@$(PYTHON) infra/bootstrap.py clang
	$(PYTEST) -m "not long"

# What takes its time: long outages, every kind of fault under load, a soak, large bodies, wide searches for a wrong value.
test-long: setup
	@$(PYTHON) infra/bootstrap.py upgrades
	$(PYTEST) -m long
	SCANLINE_STREAM_NATIVE_READER=off $(PYTEST) -m "not long" $(BY_PYTHON_ALONE)

# Twice half an hour on one core (tests/fuzz/README.md).
fuzz: setup
	@$(PYTHON) infra/bootstrap.py clang
	$(VENV)/python -m pip install -q --require-hashes -r requirements-fuzz.lock
	$(VENV)/python -m tests.fuzz.run
	$(VENV)/python -m tests.fuzz.native

up: setup
	@$(VENV)/scanline up

bench: setup
	@$(VENV)/scanline bench

chaos: setup
	@$(VENV)/scanline chaos

soak: setup
	@$(VENV)/scanline soak

lint: setup
	$(VENV)/ruff check .
	$(VENV)/ruff format --check .
	$(VENV)/mypy
	$(VENV)/lint-imports
	$(VENV)/python -m schemas.documents --check
	$(VENV)/python -m dashboards.metrics_page --check
	$(VENV)/python -m dashboards.grafana --check

contract: setup
	$(VENV)/python -m schemas.documents
	$(VENV)/scanline postgres-conf --compose > infra/postgres/postgresql.conf
	$(VENV)/python -m dashboards.metrics_page
	$(VENV)/python -m dashboards.grafana

# Pins every package with its hashes, and no address to download from (decision 0004). Needs uv.
lock:
	uv pip compile --generate-hashes --no-emit-index-url --no-emit-find-links --no-annotate --no-header \
		--python-version 3.11 -q requirements-dev.in -o requirements.lock
	uv pip compile --generate-hashes --no-emit-index-url --no-emit-find-links --no-annotate --no-header \
		--python-version 3.11 -q requirements-user.in -o requirements-user.lock
	uv pip compile --generate-hashes --no-emit-index-url --no-emit-find-links --no-annotate --no-header \
		--python-version 3.11 -q requirements-fuzz.in -o requirements-fuzz.lock
	uv pip compile --generate-hashes --no-emit-index-url --no-emit-find-links --no-annotate --no-header \
		--python-version 3.11 -q requirements-client.in -o requirements-client.lock
	uv pip compile --generate-hashes --no-emit-index-url --no-emit-find-links --no-annotate --no-header \
		--python-version 3.11 -q -c requirements.lock requirements-browser.in -o requirements-browser.lock
	uv pip compile --generate-hashes --no-emit-index-url --no-emit-find-links --no-annotate --no-header \
		--python-version 3.11 -q --no-deps requirements-upgrade.in -o requirements-upgrade.lock
