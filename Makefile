# One command for each habit. `make demo` and `make test` do all set-up.
BIN := .venv/bin
# Tests wait for servers half of their time: four processes on two cores; files with few, long tests not at the end.
PYTEST := $(BIN)/python -m pytest -q -n 4 --dist loadfile --no-loadscope-reorder
SERVICE ?= stream
SEED ?= 6
HOURS ?= 1
COMPOSE := docker compose --env-file ops/docker/.env

.PHONY: help setup demo test test-long test-deploy docs-check lint bench bench-calibrate bench-catalogue bench-convert bench-growth bench-guard bench-image bench-intake bench-light-curves bench-mosaic bench-overhead bench-photometry bench-scaling bench-store bench-stream bench-viewer chaos soak setup-readers clean compose-build compose-up compose-down compose-logs

help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  %-15s %s\n", $$1, $$2}'

setup: ## create .venv with all packages
	@scripts/setup.sh

setup-readers: setup ## install the Measurement Set readers that some tests use as judges, in .venv-readers
	@scripts/setup_readers.sh

demo: setup ## stream a simulated telescope through the pipeline to images
	@$(BIN)/contimg demo $(ARGS)

test: ## run the tests, with real server, workers, panel and browser
	@scripts/setup.sh tests
	@$(PYTEST) -m "not long" $(ARGS)

test-long: ## run the longer tests: every crash point, the faults of a whole service, accuracy
	@scripts/setup.sh tests
	@$(PYTEST) -m long $(ARGS)

test-deploy: ## test the deployment: containers, systemd, plain processes; needs a container engine
	@scripts/setup.sh
	@CONTIMG_TEST_DEPLOY=1 $(BIN)/python -m pytest -q tests/ops $(ARGS)

docs-check: setup ## check every command, link and setting in the documentation
	@$(BIN)/python scripts/write_reference.py --check
	@$(BIN)/python -m pytest -q tests/ops/test_docs.py $(ARGS)

lint: setup ## check style, types and words
	@$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/python scripts/check_words.py && $(BIN)/mypy

bench: setup ## run all benchmarks: an hour of sky at full scale, every stage against its peers; takes an hour
	@$(BIN)/python benchmarks/all_benchmarks.py $(ARGS)

bench-calibrate: setup ## measure seconds to flag, solve and apply at full scale, and the ratios to CASA's solving and applycal
	@$(BIN)/python benchmarks/bench_calibrate.py $(ARGS)

bench-catalogue: setup ## build a catalogue of 2 million sources and query cones: time, memory, ratios to plain work
	@$(BIN)/python benchmarks/bench_catalogue.py $(ARGS)

bench-light-curves: setup ## store 3.6 million measurements (ARGS="--days 365": 22 million): light curves, the η–V plane, an epoch more
	@$(BIN)/python benchmarks/bench_light_curves.py $(ARGS)

bench-growth: setup ## measure each stage against antennas, integrations, channels and pixels
	@$(BIN)/python benchmarks/bench_growth.py $(ARGS)

bench-guard: setup ## fail when a stage needs 30 % more core seconds than recorded; ARGS="--record" records
	@$(BIN)/python benchmarks/guard.py $(ARGS)

bench-image: setup ## image a full-scale tile of the sky of counts: against its truth, and against WSClean
	@$(BIN)/python benchmarks/bench_image.py $(ARGS)

bench-convert: setup ## measure conversion at full scale against a plain copy and pyuvdata
	@$(BIN)/python benchmarks/bench_convert.py $(ARGS)

bench-stream: setup ## measure full-scale tiles through the service: latency, backlog, memory
	@$(BIN)/python benchmarks/bench_stream.py $(ARGS)

bench-intake: setup ## measure the registration of files and the latency of a complete group
	@$(BIN)/python benchmarks/bench_intake.py $(ARGS)

bench-mosaic: setup ## mosaic 12 synthetic tiles at full size: time, memory, fluxes against the truth
	@$(BIN)/python benchmarks/bench_mosaic.py $(ARGS)

bench-photometry: setup ## measure 10,000 positions of an epoch's mosaic: core seconds, memory, fluxes against the truth
	@$(BIN)/python benchmarks/bench_photometry.py $(ARGS)

bench-overhead: setup ## measure the orchestration of a group, with empty stages and up to 100,000 groups waiting
	@$(BIN)/python benchmarks/bench_overhead.py $(ARGS)

bench-scaling: setup ## measure tiles per hour of 1, 2 and 4 processes and of two hosts, against `contimg plan`
	@$(BIN)/python benchmarks/bench_scaling.py $(ARGS)

bench-store: setup ## write ten years of observing to a store: every page, list, command, queue step, pruning, backup, migration
	@$(BIN)/python benchmarks/bench_store.py $(ARGS)

bench-viewer: setup ## measure the views of images of 2400² and 4800² pixels that the panel sends
	@$(BIN)/python benchmarks/bench_viewer.py $(ARGS)

chaos: ## run 300 groups through the service under 200 faults; SEED=… repeats a run, ARGS="--store sqlite" …
	@scripts/setup.sh tests
	@$(BIN)/python tests/chaos/chaos.py --seed $(SEED) $(ARGS)

soak: ## run simulated nights at many times the real rate for HOURS=… and report what grows
	@scripts/setup.sh tests
	@$(BIN)/python tests/chaos/soak.py --hours $(HOURS) $(ARGS)

compose-build: ## build the container image
	@$(COMPOSE) build stream

compose-up: ## start the service in containers
	@$(COMPOSE) up --detach

compose-down: ## stop the service in containers
	@$(COMPOSE) down

compose-logs: ## follow the logs of one service: make compose-logs SERVICE=stream
	@$(COMPOSE) logs --follow $(SERVICE)

clean: ## remove build and test files and the environment
	@rm -rf .venv build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
