# The whole workflow. `make` lists it; each target sets up .venv by itself with any python3 from 3.10 to 3.13.

VENV := .venv
BIN := $(VENV)/bin
# set PYTHON=/path/to/python3 to choose one
PYTHON ?=

.DEFAULT_GOAL := help
# some images forbid Python to keep the byte code of what it imports; then each start would compile 2,500 modules anew, for 4 s
unexport PYTHONDONTWRITEBYTECODE
.PHONY: help demo test pythons integration lint format bench bench-stream bench-quality notebooks docs pin clean

help:  ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: $(VENV)/.with-dev  ## simulate a week of logs, train, replay, and show the incidents (a few minutes)
	$(BIN)/lonetree demo

test: $(VENV)/.with-dev  ## unit tests and properties (three to six minutes)
	$(BIN)/pytest -n auto -m "not integration" --durations=10

pythons:  ## unit tests with every Python from 3.10 to 3.13 that is found
	@bash .ci/pythons

integration: $(VENV)/.with-dev $(VENV)/.with-azure $(VENV)/.with-kafka  ## tests that start real servers
	@$(BIN)/pytest -n 4 --dist loadfile --no-loadscope-reorder -m integration --durations=10; code=$$?; \
	if [ $$code -eq 5 ]; then echo "no integration tests here"; exit 0; fi; exit $$code

lint: $(VENV)/.with-dev  ## ruff and mypy --strict
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy --strict

format: $(VENV)/.with-dev  ## put every file into the house's format
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(VENV)/.with-dev $(VENV)/.with-bench  ## events a second, beside other ways; BENCH='--sizes 2000000 20000000'
	$(BIN)/python tests/benchmarks/speed.py $(BENCH)

bench-stream: $(VENV)/.with-dev $(VENV)/.with-metrics  ## how long an incident takes at 5,000 events a second, and the most it sustains (25 minutes)
	$(BIN)/python tests/benchmarks/stream.py

bench-quality: $(VENV)/.with-dev $(VENV)/.with-bench  ## attacks and faults found at a budget of false incidents
	$(BIN)/python tests/benchmarks/quality.py

notebooks: $(VENV)/.with-dev $(VENV)/.with-notebooks  ## run every notebook in place
	@found=$$(find notebooks -maxdepth 1 -name '*.ipynb' | sort); \
	if [ -z "$$found" ]; then echo "no notebooks here"; else printf '%s\n' $$found | xargs -n 1 -P 2 $(BIN)/jupyter execute --inplace; fi
	@$(BIN)/pytest -q -m "not integration" tests/notebooks

docs: $(VENV)/.with-dev $(VENV)/.with-docs  ## the Python API as pages, in build/docs
	$(BIN)/python .ci/docs.py build/docs

pin:  ## resolve constraints.txt anew; needs python3.10 to python3.13 on the PATH
	python3 .ci/pin.py python3.10 python3.11 python3.12 python3.13

clean:  ## remove what the other targets made: .venv, caches, build, demo
	rm -rf $(VENV) build dist demo .cache .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find models detectors pipelines tests -name __pycache__ -type d -prune -exec rm -rf {} +

$(BIN)/python:
	@bash .ci/venv $(VENV) $(PYTHON)

# one stamp for each extra of pyproject.toml, made again when what it depends on changes
$(VENV)/.with-%: $(BIN)/python pyproject.toml constraints.txt
	@bash .ci/install $(VENV) $*
	@touch $@
