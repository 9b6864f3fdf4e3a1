# Two commands: `make demo` and `make test`. Neither needs root, a JVM or a running server.
# `make appliance` needs Java, Maven and Redis; as root, on Debian, it installs them.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
LOCKS  := packaging/requirements
PIP    := $(BIN)/python -m pip --disable-pip-version-check
ONCE   ?=
ENGINE ?= spark
OFF    ?=
WITH   ?=
# Tests wait more than they compute: one worker a core. A file stays whole, so its fixtures are made once.
WORKERS ?= $(shell nproc)

export DO_NOT_TRACK = 1
export MLFLOW_DISABLE_TELEMETRY = true
export FEAST_USAGE = False

.PHONY: help demo appliance prerequisites test test-long test-appliance test-appliance-long keycloak lint types layers docs fuzz bench lock clean

help:  ## what there is
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 14

demo: $(VENV)/core.stamp  ## a year of a real shop, from till lines to answers on a page (ONCE=1: check and exit)
	@$(BIN)/retaildctl demo $(if $(ONCE),--once)

appliance: prerequisites $(VENV)/appliance.stamp  ## the same through Kafka, Spark, Redis, Elasticsearch (ONCE=1; ENGINE=spark|flink|embedded; OFF=redis,...; WITH=hive,...)
	@$(BIN)/retaildctl demo --profile appliance --engine $(ENGINE) $(if $(ONCE),--once) \
	  $(if $(OFF),--without $(OFF)) $(if $(WITH),--with $(WITH))

prerequisites:
	@PYTHON=$(PYTHON) packaging/appliance/prerequisites.sh appliance

test: $(VENV)/dev.stamp lint types layers  ## all quick tests (under ten minutes)
	$(BIN)/pytest -m "not slow and not appliance" -n $(WORKERS) --dist loadfile

test-long: $(VENV)/dev.stamp  ## the tests that take longer
	@$(MAKE) --no-print-directory keycloak || echo "Without Maven the tests of Keycloak are skipped."
	$(BIN)/pytest -m "slow and not appliance" -n $(WORKERS) --dist loadfile --timeout=3600

test-appliance: $(VENV)/dev.stamp  ## the tests with real Kafka, Spark, Flink, ... (needs Java and Maven; fetches 2 GB once)
	$(BIN)/pytest tests/appliance -m "not slow" --timeout=900

test-appliance-long: $(VENV)/dev.stamp  ## those of them that take many minutes: Spark's conformance, gold on a cluster
	$(BIN)/pytest tests/appliance -m slow --timeout=3600

keycloak: packaging/keycloak/target/fetched  ## fetch Keycloak for its tests (needs Maven; 180 MB)

packaging/keycloak/target/fetched: packaging/keycloak/pom.xml
	mvn -q -B -f $< package
	@touch $@

lint: $(VENV)/dev.stamp  ## ruff
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/dev.stamp  ## mypy --strict
	$(BIN)/mypy

layers: $(VENV)/dev.stamp  ## import-linter
	$(BIN)/lint-imports

docs: $(VENV)/dev.stamp  ## write docs/reference from the program
	$(BIN)/python docs/reference.py

fuzz: $(VENV)/dev.stamp  ## a million hostile inputs for every parser (TOTAL=...)
	$(BIN)/python -m tests.hostile.fuzz --total $(or $(TOTAL),1000000)

bench: $(VENV)/dev.stamp  ## every benchmark; figures go to docs/benchmarks.md by hand
	$(BIN)/python -m benchmarks

# pip alone, so that a configured package mirror is honoured.
$(VENV)/core.stamp: $(LOCKS)/core.txt $(LOCKS)/build.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "retaild needs Python 3.11 or newer; name one with: make PYTHON=python3.12 ..."; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "Installing retaild's packages into $(VENV) (once; about a minute) ..."
	@$(PIP) install -q --require-hashes -r $(LOCKS)/build.txt -r $(LOCKS)/core.txt
	@$(PIP) install -q --no-deps --no-build-isolation -e .
	@touch $@

$(VENV)/dev.stamp: $(VENV)/core.stamp $(LOCKS)/dev.txt
	@$(PIP) install -q --require-hashes -r $(LOCKS)/dev.txt
	@touch $@

$(VENV)/appliance.stamp: $(VENV)/core.stamp $(LOCKS)/appliance.txt
	@$(PIP) install -q --require-hashes -r $(LOCKS)/appliance.txt
	@touch $@

lock:  ## make the lock files again (needs uv)
	uv pip compile --universal --python-version 3.11 --generate-hashes --no-emit-index-url -q \
	  --custom-compile-command "make lock" pyproject.toml -o $(LOCKS)/core.txt
	uv pip compile --universal --python-version 3.11 --generate-hashes --no-emit-index-url -q \
	  --custom-compile-command "make lock" pyproject.toml --extra dev --extra appliance -c $(LOCKS)/core.txt -o $(LOCKS)/dev.txt
	uv pip compile --universal --python-version 3.11 --generate-hashes --no-emit-index-url -q \
	  --custom-compile-command "make lock" pyproject.toml --extra appliance -c $(LOCKS)/dev.txt -o $(LOCKS)/appliance.txt
	printf 'hatchling\neditables\n' | uv pip compile --universal --python-version 3.11 --generate-hashes \
	  --no-emit-index-url -q --custom-compile-command "make lock" -c $(LOCKS)/dev.txt - -o $(LOCKS)/build.txt

clean:  ## remove what was built
	rm -rf $(VENV) build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
