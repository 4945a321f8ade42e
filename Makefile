# Every target works from any directory, also with `make -C`, `make -f` and a path with spaces, and can be repeated.
# The recipes go through scripts/in-venv, which makes .venv from requirements.lock when it is missing or out of date.

# Make splits words at spaces: this path is only ever touched whole, and quoted for the shell.
makefile := $(subst ','\'',$(MAKEFILE_LIST))
root := $(shell file='$(makefile)'; dirname "$${file# }")
root := '$(subst ','\'',$(root))'

.PHONY: help search test lint audit bench format install clean

help: ## list the targets
	@sed -n 's/^\([a-z]*\): ## /  make \1	/p' $(root)/Makefile

search: ## install what is missing, then search on the built-in corpus
	@$(root)/scripts/in-venv python -m tune_sentiment search

test: ## the whole test suite
	@cd $(root) && ./scripts/in-venv python -m pytest -n 2 --dist loadfile --no-loadscope-reorder -m "not alone"
	@cd $(root) && ./scripts/in-venv python -m pytest -m alone

lint: ## style, types and the direction of imports
	@cd $(root) && ./scripts/in-venv ruff check .
	@cd $(root) && ./scripts/in-venv ruff format --check .
	@cd $(root) && ./scripts/in-venv mypy
	@cd $(root) && ./scripts/in-venv lint-imports

audit: ## known holes in the packages of requirements.lock, as PyPI knows them
	@cd $(root) && ./scripts/in-venv python scripts/audit.py

bench: ## time whole searches against Optuna, Ray Tune and Syne Tune; PEERS="--peer ours --trials 16" for less
	@cd $(root) && ./scripts/in-venv python -m benchmarks.search $(PEERS)

format: ## rewrite the code in the one style
	@cd $(root) && ./scripts/in-venv ruff check --fix . && ./scripts/in-venv ruff format .

install: ## make .venv
	@$(root)/scripts/in-venv true

clean: ## remove .venv and what the tools left behind; searches stay
	@cd $(root) && rm -rf .venv .mypy_cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache build dist
