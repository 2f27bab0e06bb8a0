PYTHON ?= python3
BIN := .venv/bin
INSTALLED := .venv/.installed
# The scripts of an environment name the folder it was made in; .installed holds it.
MADE_IN := $(shell cat $(INSTALLED) 2>/dev/null)
MOVED := $(if $(MADE_IN),$(if $(subst |$(realpath .venv)|,,|$(MADE_IN)|),moved))
# The stages run as `python -m …`: that python must be the environment's.
export PATH := $(CURDIR)/$(BIN):$(PATH)

.PHONY: help setup repro test lint check experiments demo bench studies official-recipe resolution report docs release test-slow test-cpus test-faults audit-packages

help: ## List the targets
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{ printf "make %-14s %s\n", $$1, $$2 }'

setup: $(INSTALLED) .dvc/plots.html ## Create .venv with the pinned packages; nothing to do when it is current

.PHONY: moved
moved:
	@echo "The project's folder has moved: .venv is made anew"
	rm -rf .venv

$(INSTALLED): pyproject.toml constraints.txt $(MOVED)
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "error: Python 3.11 or newer is needed, $(PYTHON) is older; make PYTHON=python3.11" >&2; exit 2; }
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	@(cd .venv && pwd -P) > $(INSTALLED)

# For `dvc plots show` without the internet.
.dvc/plots.html: $(INSTALLED) tools/offline_plots.py
	$(BIN)/python -m tools.offline_plots

repro: setup ## Run the pipeline on the real data: only what changed
	dvc repro

test: setup ## Run the tests
	pytest

lint: setup ## Check style, format and types
	ruff check
	ruff format --check
	mypy

check: lint test ## Everything that must hold: lint, types, tests, both lock files fit the code, docs and the shipped model the metrics
	python -m tools.check_lock
	python -m tools.check_docs
	python -m tools.release --check

# Of some 200 metrics, the few that tell experiments apart, and of the parameters those that differ.
SCORES := Experiment|metrics/tune_lr.json:lr|chosen\..*|auc\.mean|(metrics/evaluate.json:)?final\.(test|leak_free)\.(auc|accuracy)
SECTIONS := data|preprocess|model|training|augment|folds|tune_lr|grid_search|cross_validate|baseline|final|evaluate
PARAMETERS := seed|params\.yaml:.*|($(SECTIONS))\.[a-z_]+

experiments: setup ## Compare experiments: what differs in the parameters, headline scores
	dvc exp show --md --only-changed --drop '^(?!($(PARAMETERS))$$).*|.*studies/.*' --keep '^($(SCORES))$$'

demo: setup ## Run the pipeline on generated phantoms in a temporary copy, 2 minutes
	python -m tools.demo

bench: setup ## Time the pipeline beside the official recipe, half an hour; then audit, trainings and predictions as sets grow, and a cluster
	python -m benchmarks.timings
	python -m benchmarks.audit_scaling
	python -m benchmarks.training_scaling
	python -m benchmarks.prediction
	python -m benchmarks.cluster_scaling

# All studies but official_recipe and resolution, which take long.
STUDIES := duplicates leakage external explanations unlike augmentation references clean_split report

studies: repro ## Run the studies: questions about the data and the method, an hour at most
	dvc repro --keep-going $(STUDIES:%=studies/dvc.yaml:%)

official-recipe: repro ## Cross-validate the official recipe on the same folds, over an hour
	dvc repro studies/dvc.yaml:official_recipe

resolution: repro ## Compare 28, 64, 128 and 224 pixels on the same folds, over half an hour
	dvc repro studies/dvc.yaml:resolution

report: repro ## Write all results as one page, report.html; of the studies as they were last run
	dvc repro --single-item studies/dvc.yaml:report

docs: setup ## Write the tables of the documents from metrics and plots
	python -m tools.tables

release: setup ## Ship the final model with its card: models/release, in git
	python -m tools.release

test-slow: setup ## Run the tests that `make test` leaves out
	pytest -m slow

test-cpus: setup ## Train a little as another maker's CPU, by QEMU: the bytes must be this CPU's; 10 minutes
	python -m tools.other_cpu

audit-packages: ## Look the pinned packages up in PyPI's list of known vulnerabilities; needs the network
	$(PYTHON) -m venv .audit
	.audit/bin/python -m pip install --quiet --disable-pip-version-check pip-audit
	.audit/bin/pip-audit --requirement constraints.txt --no-deps --disable-pip

test-faults: setup ## Kill every stage at random moments, fill the disk of those that train: nothing may be lost or differ
	python -m tests.faults.inject
