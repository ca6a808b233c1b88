# Thin: each target is a line over cargo or scripts/. `make` lists them.
export SQLX_OFFLINE := true
.DEFAULT_GOAL := help
.PHONY: help setup demo test test-faults test-isolation bench bench-match bench-control check fmt openapi sql-cache

help: ## List the targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  \1\t\2/p' Makefile | expand -t 18

setup: ## Install what is missing, or say what it is (all other targets do this first)
	@scripts/setup

demo: setup ## See Postrider at work: events in, signed webhooks out (KEEP=1 keeps it up)
	@cargo build --workspace --bins
	@$${CARGO_TARGET_DIR:-target}/debug/demo $(DEMO_ARGS)

test: setup ## Run all tests: unit, property, and end to end on a real Kafka and Postgres
	cargo test --workspace

test-faults: setup ## Run the long fault tests, one after the other, on a release build (about half an hour)
	cargo test --release --workspace --test e2e -- --ignored --test-threads 1 --nocapture $(TEST)

test-isolation: setup ## Measure what one hanging endpoint of 100 does to the others (release build, 12 minutes)
	@cargo build --release --workspace --bins
	@$${CARGO_TARGET_DIR:-target}/release/bench isolation

bench: setup ## Measure speed, latency, CPU and memory beside a raw POST loop (release build, 10 minutes)
	@cargo build --release --workspace --bins
	@$${CARGO_TARGET_DIR:-target}/release/bench load
	@$${CARGO_TARGET_DIR:-target}/release/bench memory

bench-match: setup ## Measure matching at 1,000 to 1,000,000 subscriptions (release build, no servers, some minutes)
	@cargo build --release --workspace --bins
	@$${CARGO_TARGET_DIR:-target}/release/bench match

bench-control: setup ## Measure the management plane with 100,000 endpoints and 10 million deliveries (release build, about half an hour)
	@cargo build --release --workspace --bins
	@$${CARGO_TARGET_DIR:-target}/release/bench control $(CONTROL_ARGS)

check: setup ## Run what CI checks: format, lints, docs, generated files, tidiness, dependencies
	@scripts/check

fmt: setup ## Format the code
	cargo fmt --all

openapi: setup ## Write openapi/postrider.json anew
	cargo build -q --workspace --bins
	$${CARGO_TARGET_DIR:-target}/debug/postrider openapi > openapi/postrider.json.new
	mv openapi/postrider.json.new openapi/postrider.json

sql-cache: setup ## Write the cache of checked SQL anew
	scripts/sql-cache
