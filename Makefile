# What a developer types and continuous integration runs. `make help` lists it.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.NOTPARALLEL:

# Where cargo puts what it builds.
TARGET := $(or $(CARGO_TARGET_DIR),target)
# The programs. Named one by one: with --workspace, cargo would build them with features that only tests ask for.
PROGRAMS := -p sluiced -p sluice-cni -p sluice -p sluice-perf
# Seconds the fuzz targets share in `make test`.
FUZZ_SECONDS ?= 20

.PHONY: help setup build manifests lint test test-unit test-kernel test-fuzz test-speed test-e2e test-cluster demo clean-lab

help: ## Lists the targets.
	@sed -n 's/^\([a-z0-9-]*\):.*## \(.*\)$$/\1|\2/p' $(MAKEFILE_LIST) | while IFS='|' read -r target text; do \
		printf '  make %-12s %s\n' "$$target" "$$text"; done

setup: ## Installs missing Debian packages (as root); says how to get Rust.
	@setup/packages
	@setup/toolchain

build: setup ## Builds the programs with optimization.
	cargo build --release $(PROGRAMS)

manifests: ## Renders deploy/manifests from the Helm chart. Needs Go.
	@setup/chart
	$(TARGET)/e2e/chart-render -values deploy/chart/checks/manifests.yaml -out deploy/manifests deploy/chart

lint: setup ## Formatting, clippy, boundaries between crates, wiring of the tests, licences, the Helm chart.
	cargo fmt --all --check
	cargo fmt --manifest-path tests/fuzz/Cargo.toml --check
	cargo clippy --workspace --all-targets -- -D warnings
	cargo xtask deps
	cargo xtask ci-wiring
	@setup/lint-optional
	@deploy/chart/check

test: setup ## Everything but test-e2e: unit and property tests, tests on the real kernel, a bounded fuzz run, instruction counts. Needs root.
	@setup/privileges make test
	@$(MAKE) --no-print-directory test-unit test-kernel test-fuzz test-speed

test-unit: setup ## Unit and property tests; needs no privileges.
	cargo test --workspace --exclude sluice-netns --exclude sluice-e2e --exclude sluice-cluster
	cargo test -p sluice-connections --features loom --test interleavings --test intake
	cargo test -p sluice-xsk --features loom --test interleavings
	cargo test -p sluice-tables --features loom --test interleavings
	cargo test -p sluice-worker --features loom --lib interleavings

test-kernel: setup ## Tests in network namespaces of their own, on the real kernel. Needs root.
	@setup/privileges make test-kernel
	cargo build $(PROGRAMS)
	cargo test -p sluice-netns -- --include-ignored --test-threads=1

test-fuzz: setup ## Runs the fuzz targets for FUZZ_SECONDS (20).
	tests/fuzz/run $(FUZZ_SECONDS)

test-speed: setup ## Counts the instructions of a packet under valgrind; fails when they have risen over their baselines.
	cargo build --release -p sluice-perf
	$(TARGET)/release/sluice-perf datapath --instructions --baseline perf/baselines/instructions.json

test-e2e: setup ## Tests against the real etcd and kube-apiserver, which are built first (minutes, once; needs Go). Needs root.
	@setup/privileges make test-e2e
	@setup/e2e
	@setup/chart
	cargo build $(PROGRAMS)
	cargo test -p sluice-e2e -- --include-ignored --test-threads=1

test-cluster: setup ## Installs Sluice on two nodes of real components, with no other network, and tests on them; builds them first. Needs root.
	@setup/privileges make test-cluster
	@setup/cluster
	cargo build $(PROGRAMS)
	@mkdir -p $(TARGET)/cluster
	deploy/image/build --profile dev $(TARGET)/cluster/sluice.tar
	tests/cluster/image/build $(TARGET)/cluster/tools.tar
	cargo test -p sluice-cluster

demo: setup ## Brings up pods on one node, then on two, measures between them, prints, takes all down. Needs root.
	@setup/privileges make demo
	@$(MAKE) --no-print-directory build
	$(TARGET)/release/sluice-perf demo

clean-lab: setup ## Takes down every lab that is up or was left behind by a crash. Needs root.
	@setup/privileges make clean-lab
	@for lab in /run/sluice-lab/*/; do \
		[ -d "$$lab" ] || continue; \
		cargo run --quiet -p sluice -- lab down --name "$$(basename "$$lab")"; \
	done
