# gpunet: everything a fresh machine needs is Python (3.10 or later) and make.
#
#   make train         train a network on handwritten digits, and draw what it learned
#   make test          run every test
#   make test-kernels  the CUDA kernels alone: compiled for every GPU, executed on the CPU
#   make check-gpu     the tests that need a GPU, sanitized; writes kernels/evidence.json; fails where there is none
#   make bench         compare with PyTorch, JAX and NumPy on the CPU, a quarter of an hour
#   make bench-quick   a few of them, two minutes
#   make bench-gpu     every kernel's share of what the GPU can do, beside PyTorch where it is installed
#   make check         what CI runs: style, types, tests
#   make docs          build the documentation site into build/site
#   make torch         install PyTorch beside it, for the tests and benchmarks that compare with it
#   make nvrtc         install NVIDIA's compiler beside it, which needs no GPU
#   make budget        write down what the compiled kernels take of a GPU
#   make fmt           put the sources into the project's style


PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet

.PHONY: train test test-kernels check-gpu bench bench-quick bench-gpu check torch nvrtc budget lint docs fmt clean
.DEFAULT_GOAL := help

help:
	@sed -n 's/^#  *make/  make/p' Makefile

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' \
	  || { echo "gpunet needs Python 3.10 or later; name one: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 1; }
	@echo "making an environment in $(VENV) with $$($(PYTHON) --version)"
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); echo "Python's venv module is missing; on Debian: apt install python3-venv"; exit 1; }

# What is installed is written down in a stamp, so that a second run installs nothing.
$(VENV)/installed-plot: $(BIN)/python pyproject.toml constraints.txt
	@echo "installing gpunet and matplotlib into $(VENV)"
	@$(PIP) install -c constraints.txt -e '.[plot]'
	@touch $@

$(VENV)/installed-dev: $(BIN)/python pyproject.toml constraints.txt
	@echo "installing gpunet and the tools of its developers into $(VENV)"
	@$(PIP) install -c constraints.txt -e '.[dev]'
	@touch $@ $(VENV)/installed-plot

# Tests compare with PyTorch where it is installed, and say so where it is not.
$(VENV)/installed-torch: $(VENV)/installed-dev
	@echo "installing PyTorch, to compare with, into $(VENV)"
	@$(PIP) install -c constraints.txt -e '.[dev,torch]'
	@touch $@

# The compile gate of the kernels runs where this is installed.
$(VENV)/installed-nvrtc: $(VENV)/installed-dev
	@echo "installing NVIDIA's run-time compiler, which needs no GPU, into $(VENV)"
	@$(PIP) install -c constraints.txt -e '.[dev,nvrtc]'
	@touch $@

torch: $(VENV)/installed-torch

nvrtc: $(VENV)/installed-nvrtc

train: $(VENV)/installed-plot
	$(BIN)/gpunet train configs/digits.toml

# A process a core takes tests from the others when its own are done.
test: $(VENV)/installed-dev
	$(BIN)/python -m pytest --numprocesses auto --dist worksteal

# Without the compiler's wheels the rest still runs, and a line at the end says what did not.
test-kernels: $(VENV)/installed-dev
	-@$(MAKE) --no-print-directory nvrtc
	$(BIN)/python -m pytest tests/kernels --numprocesses auto --dist worksteal

# What is installed depends on the machine's CUDA: pip install -e '.[dev,cuda12]' or '.[dev,cuda13]'.
check-gpu: $(VENV)/installed-dev
	$(BIN)/python -m tests.gpu

budget: $(VENV)/installed-nvrtc
	$(BIN)/python -m tests.kernels.budget

bench: $(VENV)/installed-dev
	$(BIN)/gpunet bench

bench-quick: $(VENV)/installed-dev
	$(BIN)/gpunet bench --quick

bench-gpu: $(VENV)/installed-dev
	$(BIN)/python -m bench.gpu

check: lint test

lint: $(VENV)/installed-dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

docs: $(VENV)/installed-dev
	$(BIN)/python -m bench.report
	PYTHONPATH=. $(BIN)/mkdocs build --strict --quiet
	@echo "written: build/site/index.html"

fmt: $(VENV)/installed-dev
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

clean:
	rm -rf $(VENV) build dist .mypy_cache .pytest_cache .ruff_cache
