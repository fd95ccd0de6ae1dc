# The commands of everyday work. `make help` lists them; nothing here needs root.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

CARGO ?= cargo
TARGET := $(or $(CARGO_TARGET_DIR),target)
SOLMU := $(TARGET)/quick/solmu
# Passed on: make run ARGS="--service email", make bench ARGS="--messages 100000".
ARGS ?=

.PHONY: help
help: ## Lists the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: tools
tools: ## Brings PostgreSQL and nats-server into .tools, unless usable ones are on the machine
	@scripts/tools.sh

.PHONY: build
build:
	@echo "solmu: building; the first time takes some minutes, later ones seconds"
	@$(CARGO) build --profile quick -p solmu

.PHONY: run
run: tools build ## Builds and starts everything in one process, data in ./solmu-data
	@echo "solmu: starting"
	@exec $(SOLMU) serve $(ARGS)

.PHONY: demo
demo: build ## Sends real messages of every channel into the running system and shows its tickets
	@exec $(SOLMU) demo $(ARGS)

.PHONY: bench
bench: build ## Measures ingest, beside what the engines alone can do
	@exec $(SOLMU) bench ingest $(ARGS)

.PHONY: test
test: tools ## Runs all tests on private engines
	@$(CARGO) xtask test

.PHONY: check
check: ## Runs every check that is no test: format, clippy, rules, proto, dependencies
	@scripts/tools.sh buf deny
	@$(CARGO) fmt --all --check
	@$(CARGO) clippy --workspace --all-targets --quiet -- -D warnings
	@$(CARGO) xtask buf
	@$(CARGO) xtask deny
	@$(CARGO) xtask check

.PHONY: check-mail
check-mail: tools ## Sends and fetches mail through Postfix, Dovecot and swaks; needs root and these packages
	@$(CARGO) build --quiet -p solmu
	@python3 tests/peers/mail.py $(TARGET)/debug/solmu

.PHONY: fix
fix: ## Repairs what a program can: format, generated code, configuration docs
	@scripts/tools.sh buf
	@$(CARGO) xtask buf --fix
	@$(CARGO) xtask check --fix

.PHONY: clean
clean: ## Removes what was built; .tools and solmu-data stay
	@$(CARGO) clean
