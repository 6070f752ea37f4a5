# Everything a person does with CNNscope. `make` alone lists it.

CONFIG ?= configs/default.yaml
OUT    ?= site
PORT   ?= 8000
JOBS   ?=
DATA   ?=
EXTRAS ?=
PYTHON ?=

PY     := .venv/bin/python
BASE   := .venv/.installed
TEST   := .venv/.installed-test
CONF   := .venv-conformance/.installed
PINS   := pyproject.toml constraints.txt .ci/venv
KNOWN  := onnx keras torch hub

.DEFAULT_GOAL := help
.PHONY: help gallery serve train-fashion extras test lint bench bench-peers conformance clean
.DELETE_ON_ERROR:

##@ Gallery
gallery: $(BASE) ## Build the gallery of CONFIG into OUT
	@.venv/bin/cnnscope build $(CONFIG) --out $(OUT) $(if $(JOBS),--jobs $(JOBS))

serve: ## Show OUT at http://127.0.0.1:PORT/ (a double click on OUT/index.html does, too)
	@test -f $(OUT)/index.html || { echo "$(OUT)/index.html does not exist yet: run 'make gallery' first" >&2; exit 2; }
	@echo "Serving $(OUT) at http://127.0.0.1:$(PORT)/ (Ctrl+C ends it)"
	@$(or $(PYTHON),$(firstword $(wildcard $(PY)) python3)) -m http.server $(PORT) --bind 127.0.0.1 --directory $(OUT)

train-fashion: $(BASE) ## Train the Fashion CNN anew; DATA is a folder with Fashion-MNIST's IDX files
	@.venv/bin/cnnscope train-fashion $(if $(DATA),--data $(DATA))

extras: $(BASE) ## Install what networks of other frameworks need, such as EXTRAS='onnx keras'
	@[ -n '$(strip $(EXTRAS))' ] && [ -z '$(filter-out $(KNOWN),$(EXTRAS))' ] || \
	  { echo "EXTRAS names some of: $(KNOWN)" >&2; exit 2; }
	@for extra in $(EXTRAS); do PYTHON='$(PYTHON)' .ci/venv $$extra || exit; done

##@ Development
test: $(TEST) ## Run all tests, in a real browser too
	@.ci/browser
	@$(PY) -m pytest -n auto

lint: $(TEST) ## Check style and formatting
	@$(PY) -m ruff check .
	@$(PY) -m ruff format --check .

bench: $(TEST) ## Measure speed and size against their budgets
	@$(PY) -m tests.benchmarks.run

bench-peers: ## Install what the benchmarks compare with into .venv-peers (a few GB)
	@PYTHON='$(PYTHON)' .ci/venv peers

conformance: $(CONF) ## Compare with other frameworks, in .venv-conformance (a few GB); goes on where it stopped
	@.venv-conformance/bin/python -m tests.conformance.run

clean: ## Remove caches and leftovers; .venv and OUT stay
	@rm -rf .cnnscope build dist .pytest_cache .ruff_cache .hypothesis
	@find generator tests -name __pycache__ -type d -prune -exec rm -rf {} +
	@echo "Cleaned: .cnnscope, build, dist and tool caches"

help: ## Show this list
	@echo "CNNscope: a static gallery of the inside of trained CNNs"
	@awk 'BEGIN { FS = ":[^#]*## " } /^##@/ { printf "\n%s\n", substr($$0, 5) } \
	  /^[a-z-]+:.*## / { printf "  make %-22s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))
	@printf '\nSettings, such as make gallery CONFIG=my.yaml OUT=dir\n'
	@printf '  %-27s %s\n' \
	  'CONFIG=$(CONFIG)' 'the gallery to build' \
	  'OUT=$(OUT)' 'the folder its site is written to' \
	  'PORT=$(PORT)' 'where make serve listens' \
	  'JOBS=$(JOBS)' 'how many tasks run at once' \
	  'DATA=$(DATA)' "a folder with Fashion-MNIST's IDX files" \
	  'EXTRAS=$(EXTRAS)' 'some of: $(KNOWN)' \
	  'PYTHON=$(PYTHON)' 'the interpreter of .venv, 3.11 or newer'

$(BASE): $(PINS)
	@PYTHON='$(PYTHON)' .ci/venv

$(CONF): $(PINS) tests/conformance/requirements.txt
	@PYTHON='$(PYTHON)' .ci/venv conformance

# After the base, never beside it: `make -j gallery test` must not install twice at once.
$(TEST): $(BASE)
	@PYTHON='$(PYTHON)' .ci/venv test
