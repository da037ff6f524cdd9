# Two commands do everything on a fresh machine with Python, make and Debian or macOS:
#   make audit   audits the example model and writes its report
#   make test    passes the tests
# Both install what they need into .venv, at the versions in constraints.txt.

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed

.PHONY: audit test test-slow lint benchmark pictures clean

audit: $(INSTALLED)
	@$(BIN)/auditor audit audit.toml; code=$$?; \
	case $$code in \
		0) echo "The audit is complete: no evidence of reliance above the margin (code 0)." ;; \
		1) echo "The audit is complete: an artefact is relied on (code 1)." ;; \
		4) echo "The audit is complete: inconclusive, or nothing applicable (code 4)." ;; \
		*) echo "The audit could not be completed (code $$code)."; exit $$code ;; \
	esac

test: $(INSTALLED)
	$(BIN)/python -m pytest --numprocesses 2 --dist loadfile

test-slow: $(INSTALLED)
	$(BIN)/python -m pytest -m slow

lint: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo

benchmark: $(INSTALLED)
	$(BIN)/python benchmarks/main_job.py
	$(BIN)/python benchmarks/engine.py
	$(BIN)/python benchmarks/history.py
	$(BIN)/python benchmarks/report.py

pictures: $(INSTALLED)
	$(BIN)/python docs/make_pictures.py

$(INSTALLED): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt pip
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[pdf,dev]'
	@touch $@

clean:
	rm -rf $(VENV) build dist .mypy_cache .ruff_cache .pytest_cache
