# LoRALab. `make help` says what there is; .ci/setup installs what a target needs, once.
SHELL := /bin/bash
LORALAB := .build/release/loralab
NOTEBOOK := notebooks/01-first-lora.ipynb

.DEFAULT_GOAL := help
.PHONY: demo test race parity lab install bench full-size device-check help clean

demo: ## set everything up, run the first notebook from first cell to last, leave the pictures in out/
	@.ci/setup system python build kernelspec vocabulary
	@.venv/bin/python notebooks/execute.py $(NOTEBOOK) --out out --measure notebooks/data/popsicle-held-out-prompts.txt

test: ## run all tests: Swift's, the kernel's over its sockets, the notebooks' in a browser
	@.ci/setup system python browser tests kernelspec
	@.ci/test

race: ## run the tests of everything that runs at the same time under the thread sanitizer, in a build of its own
	@.ci/setup system
	@.ci/race

# Cases of each check, and what they are drawn from. The README's figures are of CASES=200 and more: `make parity CASES=200 SEED=7`.
CASES ?= 6
SEED ?= 1
parity: ## hold pictures, adapters, captions and training against PyTorch's libraries on random models (5 GB of disk, under 5 minutes on two cores)
	@.ci/setup system build parity
	@failed=0; for check in pictures adapters lora-out captions training; do \
	    .venv-parity/bin/python Tests/parity/parity.py $$check --seed $(SEED) --count $(CASES) || failed=1; \
	done; exit $$failed

lab: ## open JupyterLab on the notebooks
	@.ci/setup system python build kernelspec vocabulary
	@.venv/bin/jupyter lab --notebook-dir notebooks

install: ## register the kernel for your user, so that any Jupyter of yours finds it
	@.ci/setup system python build vocabulary
	@$(LORALAB) install --user

bench: ## time every job beside PyTorch, in turn, and the kernel beside ipykernel (6 GB of disk, half an hour on two cores); table and chart in out/bench
	@.ci/setup system python build kernelspec bench
	@.venv-bench/bin/python Tests/bench/compare.py --out out/bench
	@.venv/bin/python Tests/kernel/latency.py

full-size: ## time and measure Stable Diffusion 1.5 and XL in full size, with random weights (9 GB of disk, ten minutes on two cores)
	@.ci/setup system build
	@for family in sd15 sdxl; do \
	    $(LORALAB) bench full-size --family $$family --reps 1 && $(LORALAB) bench train-step --family $$family --reps 1 --checkpoint || exit 1; \
	done

device-check: ## put into out/device what a machine with an NVIDIA card needs to check and time this, without Swift or network there
	@.ci/setup system
	@Tests/device/prepare

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-9s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

clean: ## remove what the other targets made: .build, .venv, out
	@rm -rf .build .build-race .venv .venv-bench .venv-parity out
