# Two commands do all the set-up: `make demo` opens the dashboard, `make test` runs the tests.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.requirements.stamp
DEV_STAMP := $(VENV)/.requirements-dev.stamp
export OPENBLAS_NUM_THREADS ?= 2

.PHONY: demo test test-all faults results lint types clean
.DEFAULT_GOAL := demo

$(BIN)/python:
	$(PYTHON) -c 'import sys; sys.exit("RepDiss needs Python 3.11 or newer; this is " + sys.version.split()[0]) if sys.version_info < (3, 11) else None'
	$(PYTHON) -m venv $(VENV)

$(STAMP): requirements.txt | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.txt
	@touch $@

$(DEV_STAMP): requirements-dev.txt $(STAMP)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements-dev.txt
	@touch $@

demo: $(STAMP)  ## The dashboard on the models that ship, at http://127.0.0.1:8501
	$(BIN)/python -m streamlit run app.py

# Two processes share the files of tests; those that measure, fill disks or start clusters run alone.
test: $(DEV_STAMP)  ## All fast tests, the browser's among them
	$(BIN)/python -m pytest -n 2 --dist loadfile

test-all: $(DEV_STAMP)  ## The slow ones too
	$(BIN)/python -m pytest -n 2 --dist loadfile -m "not faults and not ray"
	$(BIN)/python -m pytest -m "faults or ray"

FAULTS_TALLY := $(VENV)/faults.jsonl
faults: $(DEV_STAMP)  ## All fault tests in their long form (about 35 minutes on 2 cores); writes their tables in docs/
	rm -f $(FAULTS_TALLY)
	REPDISS_FAULTS=long REPDISS_FAULTS_TALLY=$(abspath $(FAULTS_TALLY)) $(BIN)/python -m pytest tests/faults -m ""
	$(BIN)/python tests/faults/report.py $(FAULTS_TALLY)

results: $(STAMP)  ## Compute the shipped results of the bundled models anew (about an hour on 2 cores)
	$(BIN)/python -m repdiss_core.scripts.ship.results

lint: $(DEV_STAMP)  ## Style: ruff's rules and its formatter
	$(BIN)/python -m ruff check .
	$(BIN)/python -m ruff format --check .

types: $(DEV_STAMP)  ## Types: mypy on app.py, pages and repdiss_core
	$(BIN)/python -m mypy

clean:  ## Remove the environment (the cache stays)
	rm -rf $(VENV)
