# `make help` lists what there is.  Every target makes the virtual environment that it needs, once.

PYTHON ?= python3
VENV   := .venv
PY     := $(VENV)/bin/python
KERNELS := $(shell find kernels -name '*.py' ! -name cuda.py ! -name reference.py ! -path '*/gpu/*')
PYTEST_ARGS ?=
JOBS   ?= 2
TRAIN_ARGS  ?=
TORCH  ?= torch==2.13.0

.DEFAULT_GOAL := help
.PHONY: help train test test-slow lint bench kernels torch clean

help:  ## show this list
	@grep -E '^[a-z-]+: .*##' Makefile | sed -E 's/:.*## /\t/' | expand -t 12

train: $(VENV)/.warm  ## train the two-tower AlexNet on the embedded images: about 4 minutes on two cores; goes on where it was stopped
	$(PY) examples/alexnet_imagenet.py --resume $(TRAIN_ARGS)

test: $(VENV)/.dev $(VENV)/.warm  ## run the test suite (all but the slow tests), two at a time; PYTEST_ARGS="-k lrn" for some, JOBS=0 one by one
	$(PY) -m pytest -n $(JOBS) --dist worksteal $(PYTEST_ARGS)

test-slow: $(VENV)/.dev $(VENV)/.warm  ## run the tests that take minutes: interrupted training, fifty steps beside PyTorch ...
	$(PY) -m pytest -m slow $(PYTEST_ARGS)

lint: $(VENV)/.dev  ## ruff and mypy
	$(PY) -m ruff check .
	$(PY) -m mypy

bench: $(VENV)/.dev  ## time kernels and networks beside PyTorch: 40 minutes; BATCH="1 32" LAYERS=conv NETWORKS=... FILTER=... BENCH_ARGS=... DEVICE=cuda:0
	$(PY) -m benchmarks$(if $(DEVICE),.gpu --device $(DEVICE)) $(if $(BATCH),--batch $(BATCH)) \
		$(if $(LAYERS),--layers $(LAYERS)) \
		$(if $(NETWORKS),--networks $(NETWORKS)) $(if $(FILTER),--filter "$(FILTER)") $(BENCH_ARGS)

kernels: $(VENV)/.dev  ## what the compiler makes of each CUDA kernel, for six architectures: registers, spills, ceilings
	$(PY) -m benchmarks.cuda $(KERNELS_ARGS)

torch: $(VENV)/.dev  ## install PyTorch's CPU build: the witness in the tests, the rival in the benchmark
	@$(PY) -c "import torch" 2>/dev/null || $(PY) -m pip install --quiet "$(TORCH)+cpu" 2>/dev/null || \
		$(PY) -m pip install --quiet --index-url https://download.pytorch.org/whl/cpu "$(TORCH)"

clean:  ## remove the virtual environment, caches and build folders, but never a run
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .hypothesis .mypy_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(VENV)/.made:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' || \
		{ echo "tinyconv needs Python 3.10 or newer; $(PYTHON) is `$(PYTHON) --version`. Try: make PYTHON=python3.12 ..."; exit 1; }
	@rm -rf $(VENV); $(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); \
		echo "could not make a virtual environment; on Debian and Ubuntu: apt install python3-venv"; exit 1; }
	@touch $@

$(VENV)/.run: setup.py pyproject.toml | $(VENV)/.made
	$(PY) -m pip install --quiet -e .
	@touch $@

# Compiled code is kept beside the kernels, until one of them changes.
$(VENV)/.warm: $(KERNELS) | $(VENV)/.run
	@$(PY) -m tinyconv.warm
	@touch $@

$(VENV)/.dev: setup.py pyproject.toml | $(VENV)/.made
	$(PY) -m pip install --quiet -e ".[dev]"
	@touch $@ $(VENV)/.run
