# Every target makes .venv and installs what it needs; python3.11, make and a compiler are enough.
PYTHON ?= python3.11
# For example PIP_ARGS="--extra-index-url https://download.pytorch.org/whl/cpu" for PyTorch without CUDA.
PIP_ARGS ?=
TORCH ?= torch==2.13.0
VENV := .venv
BIN := $(VENV)/bin

.PHONY: demo test check examples docs format clean

demo: $(VENV)/.core
	$(BIN)/etastar plan examples/gpt/pilots --horizon 56000 --out out/demo

test: $(VENV)/.dev
	$(BIN)/pytest -n 2

check: $(VENV)/.dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/pyright

# One short training for each framework.
examples: $(VENV)/.dev
	for example in examples/*_training.py examples/batch_ramp.py; do \
	  echo "$$example"; $(BIN)/python $$example || exit 1; done

docs: $(VENV)/.docs
	$(BIN)/mkdocs build --strict --site-dir site

format: $(VENV)/.dev
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

$(VENV)/.pip:
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --upgrade pip
	touch $@

$(VENV)/.core: $(VENV)/.pip pyproject.toml
	$(BIN)/pip install --quiet $(PIP_ARGS) -e .
	touch $@

$(VENV)/.dev: $(VENV)/.core
	$(BIN)/pip install --quiet $(PIP_ARGS) $(TORCH)
	$(BIN)/pip install --quiet $(PIP_ARGS) -e '.[dev]'
	touch $@

$(VENV)/.docs: $(VENV)/.core
	$(BIN)/pip install --quiet $(PIP_ARGS) -e '.[docs]'
	touch $@

clean:
	rm -rf $(VENV) out site
