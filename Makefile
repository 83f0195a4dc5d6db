# Everything runs in .venv, which these targets make and keep up to date: on a fresh machine only Python and make are needed.
# PYTHON=… takes another interpreter, ARGS=… is handed on: `make demo ARGS=--fresh`, `make test ARGS="-k calendar"`; B=… names a
# benchmark: `make bench B=throughput`.

VENV := .venv
BIN := $(VENV)/bin
ARGS ?=
B ?=
UV := $(BIN)/uv --no-config pip compile --quiet --universal --python-version 3.11 \
	--generate-hashes --no-emit-index-url --custom-compile-command "make lock"

# A run starts hundreds of processes, and each would compile our sources anew.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help demo test quick check bench soak docs lock audit clean venv

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "make %-6s %s\n", $$1, $$2}' Makefile

demo: venv ## start everything here, bring in a simulated province, go live with it, show it (Ctrl-C ends all of it)
	@exec $(BIN)/xinliu demo $(ARGS)

# Three processes, whole files each: the tests wait more than they compute. ARGS="-n 0" takes one, for --pdb or -s.
test: venv ## run all tests on a real Kafka and Redis of their own
	@exec $(BIN)/python -m pytest -n 3 --dist loadfile --no-loadscope-reorder $(ARGS)

# Rooms whose tests start no server; compiling aside, a minute on two cores.
QUICK := tests/config tests/domain tests/features tests/detectors
quick: venv ## run the laws and units that need no server: a first answer within a minute
	@exec $(BIN)/python -m pytest -n 2 --dist loadfile $(QUICK) $(ARGS)

check: venv ## lint, format, types, spelling, layers
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/mypy .ci
	$(BIN)/codespell
	$(BIN)/lint-imports --no-logo

bench: venv ## run the benchmarks (benchmarks/README.md says which)
	@exec $(BIN)/python -m benchmarks $(B) $(ARGS)

soak: venv ## run the tests that take longer than CI allows
	@exec $(BIN)/python -m pytest -m soak $(ARGS)

docs: venv ## write the documents that follow from tables and types (a test holds them to it)
	@$(BIN)/python -m docs.generate

lock: venv ## resolve the dependencies anew within pyproject.toml (ARGS=--upgrade: newest versions)
	$(UV) --all-extras --output-file requirements.lock $(ARGS) pyproject.toml
	echo 'setuptools>=80' | $(UV) --constraints requirements.lock --no-annotate \
		--output-file requirements-worker.lock pyproject.toml -

audit: venv ## compare the locks with security advisories that you bring along (ARGS="pypi.zip maven.zip")
	@exec $(BIN)/python .ci/audit.py $(ARGS)

clean: ## remove what was made in this folder: .venv, tools' caches (the user's cache and state folders stay)
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

venv:
	@VENV=$(VENV) PYTHON="$(PYTHON)" .ci/venv
