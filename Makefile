# Everything a person or CI runs. `make help` lists it.
SHELL := bash
CARGO := . tools/cargo-env && cargo
RULES := -p cosmic-common -p cosmic-identity -p cosmic-log -p cosmic-space -p cosmic-seal -p cosmic-sync \
         -p cosmic-erasure -p cosmic-ring -p cosmic-custody -p cosmic-summary -p cosmic-turn
NAME ?= erasure
BIN = $${CARGO_TARGET_DIR:-target}/debug

.PHONY: help prepare build demo up test rules lint format doc deny bench nat soak simulate fuzz

help: ## this list
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## /\1\t/' | expand -t 12

prepare:
	@tools/prepare

build: prepare ## all binaries
	$(CARGO) build --locked --workspace --bins

demo: build ## two devices, one bootstrap node, six supernodes, a file that survives three of them
	$(BIN)/cosmic-loadtest demo $(ARGS)

up: build ## keep a small network running to play with
	$(BIN)/cosmic-loadtest up $(ARGS)

# One build with the features tests and binaries ask for together: two builds would compile half the world twice.
test: prepare ## all tests, with the real binaries
	@tools/s3-server
	$(CARGO) build --locked --workspace --bins --tests
	$(CARGO) test --locked --workspace

rules: prepare ## the tests of the pure crates, in seconds
	$(CARGO) test --locked $(RULES)

lint: prepare ## format, lints, crate arrows, documentation
	$(CARGO) fmt --all --check
	$(CARGO) clippy --locked --workspace --all-targets -- -D warnings
	$(CARGO) clippy --locked --workspace --lib --no-default-features -- -D warnings
	export RUSTDOCFLAGS=-Dwarnings; $(CARGO) doc --locked --workspace --no-deps --document-private-items
	@if command -v cargo-deny >/dev/null; then cargo deny check bans licenses sources; else echo "cargo-deny is not installed: dependency rules not checked"; fi
	@if command -v typos >/dev/null; then typos; fi

format: ## write the house format
	$(CARGO) fmt --all

bench: build ## one benchmark as JSON: make bench NAME=files
	$(BIN)/cosmic-loadtest bench $(NAME) --json

nat: build ## devices behind routers of every kind, in network namespaces (as root): make nat ARGS=--all
	$(BIN)/cosmic-loadtest nat $(ARGS)

simulate: prepare ## the seeded simulators with many seeds: make simulate SEEDS=5000, or 5000@100000
	export COSMIC_SEEDS=$${SEEDS:-2000}; $(CARGO) test --locked -p cosmic-sync -p cosmic-custody -p cosmic-summary sim::
	COSMIC_CROWD=2000 $(CARGO) test --locked --workspace --lib walk::crowd -- --nocapture

fuzz: ## hostile bytes for every decoder, each room for a while: make fuzz FUZZ_SECONDS=60
	@tools/fuzz $${FUZZ_SECONDS:-60}

soak: build ## 200 kills, full disks, zones lost, liars: make soak ROUNDS=200
	export COSMIC_ROUNDS=$${ROUNDS:-200}; $(CARGO) test --locked --workspace --test cluster -- --test-threads 1
