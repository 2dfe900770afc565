# Every target makes .venv and installs what it needs; python3.11, make and a compiler are enough.
PYTHON ?= python3.11
# For example PIP_ARGS="--extra-index-url https://download.pytorch.org/whl/cpu" for PyTorch without CUDA.
PIP_ARGS ?=
TORCH ?= torch==2.13.0
VENV := .venv
BIN := $(VENV)/bin
# Python compiles a module when it is first imported, as most modules of most packages never are,
# and keeps the result for the next process, also where the environment says that it should not.
export PYTHONDONTWRITEBYTECODE :=
INSTALL := $(BIN)/pip install --quiet --disable-pip-version-check --no-compile $(PIP_ARGS)
# A file of tests is run by one process, as its tests share what was fitted and compiled. Three
# processes keep two cores busy: many tests wait for others.
TESTS := $(BIN)/pytest -n 3 --dist loadfile

.PHONY: demo test test-all test-long test-versions test-lowest check examples docs format clean

demo: $(VENV)/.core
	$(BIN)/etastar plan examples/gpt/pilots --horizon 56000 --out out/demo

# The core tests: no framework is installed, tests marked as slow are left out.
test: $(VENV)/.test
	$(TESTS) -m "not slow"

# Every test but the long ones, with every framework.
test-all: $(VENV)/.dev
	$(TESTS) -m "not long"

# The tests that search, simulate or refit for many seconds each: some minutes.
test-long: $(VENV)/.dev
	$(TESTS) -m long

# The core tests on the other Pythons that this machine has.
test-versions:
	PIP_ARGS="$(PIP_ARGS)" .ci/test_versions 3.12 3.13

# The core tests with the lowest versions that pyproject.toml allows.
test-lowest:
	PYTHON="$(PYTHON)" .ci/test_lowest

check: $(VENV)/.dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/pyright

# One short training for each framework.
examples: $(VENV)/.dev
	for example in examples/*_training.py examples/batch_ramp.py examples/spectrum_phase.py; do \
	  echo "$$example"; $(BIN)/python $$example || exit 1; done

docs: $(VENV)/.docs
	$(BIN)/mkdocs build --strict --site-dir site

format: $(VENV)/.dev
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

$(VENV)/.made:
	$(PYTHON) -m venv $(VENV)
	touch $@

$(VENV)/.core: $(VENV)/.made pyproject.toml
	$(INSTALL) -e .
	touch $@

# One installation, which is that of .core too.
$(VENV)/.test: $(VENV)/.made pyproject.toml
	$(INSTALL) -e '.[test]'
	touch $(VENV)/.core $@

# The trainers whose schedulers the tests run come without their dependencies, which are gigabytes.
$(VENV)/.dev: $(VENV)/.made pyproject.toml tests/export/frameworks.txt
	$(INSTALL) $(TORCH)
	$(INSTALL) -e '.[dev]'
	$(INSTALL) --no-deps -r tests/export/frameworks.txt
	touch $(VENV)/.core $(VENV)/.test $@

$(VENV)/.docs: $(VENV)/.core
	$(INSTALL) -e '.[docs]'
	touch $@

clean:
	rm -rf $(VENV) .venv-* .cache out site
