# `make test` on a fresh machine sets everything up: a virtual environment, torch, the locked tree, this package.
PYTHON ?= python3
TORCH ?= torch==2.13.0
BIN := .venv/bin
READY := .venv/.ready
EXPORT := -q --frozen --no-hashes --no-emit-project --no-header --no-annotate --prune torch --all-extras

# Options for pytest, e.g. PYTEST="--durations=25".
PYTEST ?=

# The tests start some hundred processes that import artbank; it is compiled once.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: demo docs test pytest test-faults test-all lint bench deploy env mini mini-eval mini-sheets lock clean

$(READY): pyproject.toml requirements.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install -q --disable-pip-version-check --no-compile uv "$(TORCH)"
	$(BIN)/uv pip install -q --python $(BIN)/python --compile-bytecode -r requirements.txt
	$(BIN)/uv pip install -q --python $(BIN)/python --no-deps -e .
	touch $(READY)

# Galleries in, banks in the catalog, photos out, with scores: the main job on the embedded model.
demo: $(READY)
	$(BIN)/artbank demo build/demo

# `artbank deploy`: work pools, automations and flows go to the Prefect server at PREFECT_API_URL; see docs/deploy.md.
POOLS ?= process
deploy: $(READY)
	$(BIN)/artbank deploy --pools $(POOLS) $(if $(GPUS),--gpus $(GPUS)) $(if $(NOTIFY),--notify '$(NOTIFY)')

# Secrets for compose.yaml, in .env.
env:
	$(PYTHON) deployments/new_env.py .env.example .env

# The documentation as a site: warnings are errors. Some seconds.
docs: $(READY)
	$(BIN)/python -m sphinx --fail-on-warning --keep-going --quiet --builder html docs build/docs

# The fast tier: lint, types, and every test without a clock, a killed process or a long wait. 6 to 15 minutes on 2 cores.
# TESTS and AT_ONCE choose other tests, and how many run at the same time. Lint and types are checked beside the tests.
TESTS ?= not faults and not slow
AT_ONCE ?= 2
test: $(READY)
	@$(MAKE) --no-print-directory -j2 lint pytest

pytest: $(READY)
	$(BIN)/python -m pytest -n $(AT_ONCE) -m "$(TESTS)" $(PYTEST)

# Kills, outages, clusters, work pools, compose, browsers, benches, commands of the documents. These tests wait a fifth of
# their time, so three of them run at once on 2 cores.
test-faults: $(READY)
	$(BIN)/python -m pytest -n 3 -m "faults and not slow" $(PYTEST)

# Every test, also those that CI leaves out because they take minutes: before a release.
test-all:
	$(MAKE) test TESTS="slow or not slow" AT_ONCE=3

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/basedpyright

# artbank beside its peers on the embedded model: about ten minutes. On a GPU: bench/run.py --device cuda --budget 540.
bench: $(READY)
	$(BIN)/python bench/run.py --budget 570 --out build/bench/performance.md

# Pretrain the miniature base model: three to four hours on 2 CPU cores with bf16 instructions, by the
# times of its steps; run again to resume.
mini: $(READY)
	$(BIN)/python -m artbank.pretraining.pretrain

# Measure the shipped weights and write the figures into the model card.
mini-eval: $(READY)
	$(BIN)/python -m artbank.pretraining.evaluate

mini-sheets: $(READY)
	$(BIN)/python -m artbank.pretraining.sheets

# Lock the tree without torch and what comes with it (its build depends on the machine), and without index addresses.
lock: $(READY)
	$(BIN)/uv lock -q
	$(BIN)/uv export $(EXPORT) -o requirements.txt
	$(BIN)/uv export $(EXPORT) --no-dev --no-extra docs -o requirements-runtime.txt
	rm uv.lock

clean:
	rm -rf .venv build
