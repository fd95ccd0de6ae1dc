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
# The binary that the checks start. The gate has built it with the tests, whose features differ: to build it again would
# compile half of all crates anew.
BUILD_DEBUG := $(if $(SOLMU_BUILT),:,$(CARGO) build --quiet -p solmu)
BUILD_EXAMPLES := $(if $(SOLMU_BUILT),:,$(CARGO) build --quiet -p solmu-client --examples)

.PHONY: help
help: ## Lists the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-13s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

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
test: tools ## Runs all tests on private engines: make test SEED=7 changes what chance does
	@$(if $(SEED),SOLMU_SEED=$(SEED)) $(CARGO) xtask test

.PHONY: check
check: ## Runs every check that is no test: format, clippy, rules, proto, dependencies
	@scripts/tools.sh buf deny
	@$(CARGO) fmt --all --check
	@$(CARGO) clippy --workspace --all-targets --quiet -- -D warnings
	@$(CARGO) xtask buf
	@$(CARGO) xtask deny
	@$(CARGO) xtask check

.PHONY: check-mail
check-mail: tools ## Sends and fetches mail through Postfix, Dovecot and swaks; needs root and these packages; MAILS=10000
	@$(BUILD_DEBUG)
	@$(CARGO) build --quiet -p solmu-imap --example mailbox
	@tests/peers/dovecot.sh $(or $(MAILS),1000)
	@python3 tests/peers/mail.py $(TARGET)/debug/solmu $(or $(MAILS),300)

.PHONY: check-import
check-import: tools build ## Imports MAILS=2000 mails while importer, server and engines are killed at random
	@SOLMU_BIN=$(abspath $(SOLMU)) SOLMU_IMPORT_MAILS=$(or $(MAILS),2000) \
		$(CARGO) test --quiet -p solmu-e2e --lib imports -- --nocapture

# Seconds and first seed of `make fuzz`.
SECONDS_OF_FUZZ := $(or $(filter-out 0,$(SECONDS)),60)
.PHONY: fuzz
fuzz: ## Feeds hostile bytes to all readers of mail: make fuzz SECONDS=3600 SEED=7
	@$(CARGO) build --quiet --profile quick -p solmu-fuzz
	@$(TARGET)/quick/solmu-fuzz --seconds $(SECONDS_OF_FUZZ) --seed $(or $(SEED),1) $(ARGS)

.PHONY: check-examples
check-examples: tools ## Runs the Rust, Python and TypeScript examples against a fresh system; needs pip and npm
	@$(BUILD_DEBUG)
	@$(BUILD_EXAMPLES)
	@python3 docs/examples/check.py $(TARGET)/debug/solmu $(TARGET)/debug/examples

.PHONY: check-deploy
check-deploy: tools ## Checks chart, manifests, alerts and settings without a cluster, and dashboards on a real Prometheus
	@scripts/tools.sh deploy
	@$(BUILD_DEBUG)
	@$(CARGO) xtask deploy check
	@python3 deploy/checks/live.py $(TARGET)/debug/solmu

.PHONY: image
image: ## Builds solmu:dev with buildah from Debian packages, without a registry; needs root, buildah and mmdebstrap
	@deploy/checks/image.sh

.PHONY: image-from-source
image-from-source: ## Builds all stages of the Dockerfile, the program too, offline: PROFILE=quick is faster; slow, needs root
	@PROFILE=$(or $(PROFILE),release) deploy/checks/image.sh --from-source

.PHONY: check-pods
check-pods: image ## Runs that image from the rendered manifests with podman, probes and SIGTERM included; after check-deploy, needs root
	@python3 deploy/checks/pods.py

.PHONY: check-power
check-power: tools ## Cuts the power of a running system by copying its disk; needs root and loop devices
	@$(BUILD_DEBUG)
	@python3 deploy/checks/power.py $(TARGET)/debug/solmu

.PHONY: fix
fix: ## Repairs what a program can: format, generated code, configuration docs
	@scripts/tools.sh buf
	@$(CARGO) xtask buf --fix
	@$(CARGO) xtask check --fix

.PHONY: clean
clean: ## Removes what was built; .tools and solmu-data stay
	@$(CARGO) clean
