# One command for each habit. `make demo` and `make test` set everything up themselves.
BIN := .venv/bin
SERVICE ?= stream
SEED ?= 6
HOURS ?= 1
COMPOSE := docker compose --env-file ops/docker/.env

.PHONY: help setup demo test test-deploy docs-check lint bench bench-calibrate bench-convert bench-growth bench-guard bench-image bench-intake bench-overhead bench-scaling bench-stream chaos soak setup-readers clean compose-build compose-up compose-down compose-logs

help: ## say what there is
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  %-15s %s\n", $$1, $$2}'

setup: ## make .venv with everything in it
	@scripts/setup.sh

setup-readers: setup ## the readers of Measurement Sets that some tests judge with, in .venv-readers
	@scripts/setup_readers.sh

demo: setup ## a synthetic telescope streams through the real pipeline to images
	@$(BIN)/contimg demo $(ARGS)

test: ## every test, real server, workers, panel and browser included
	@scripts/setup.sh tests
	@$(BIN)/python -m pytest -q -n 2 --dist loadfile $(ARGS)

test-deploy: ## the deployment for real: containers, systemd, plain processes; needs a container engine
	@scripts/setup.sh
	@CONTIMG_TEST_DEPLOY=1 $(BIN)/python -m pytest -q tests/ops $(ARGS)

docs-check: setup ## every command, link and setting that the documentation names
	@$(BIN)/python scripts/write_reference.py --check
	@$(BIN)/python -m pytest -q tests/ops/test_docs.py $(ARGS)

lint: setup ## style and types
	@$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/mypy

bench: setup ## an hour of sky at full scale, every stage against its peers: a table, a JSON file, a picture; an hour
	@$(BIN)/python benchmarks/whole.py $(ARGS)

bench-calibrate: setup ## seconds to flag, solve and apply at full scale, and the ratio to CASA's applycal
	@$(BIN)/python benchmarks/bench_calibrate.py $(ARGS)

bench-growth: setup ## what each stage costs as antennas, integrations, channels and the image grow: is there a cliff?
	@$(BIN)/python benchmarks/bench_growth.py $(ARGS)

bench-guard: setup ## under a minute: has a stage become 30 % dearer than recorded? ARGS="--record" records anew
	@$(BIN)/python benchmarks/guard.py $(ARGS)

bench-image: setup ## the quick look at full scale against WSClean
	@$(BIN)/python benchmarks/bench_image.py $(ARGS)

bench-convert: setup ## conversion at full scale against a plain copy and pyuvdata
	@$(BIN)/python benchmarks/bench_convert.py $(ARGS)

bench-stream: setup ## full-scale tiles through the real service: latency, backlog, memory
	@$(BIN)/python benchmarks/bench_stream.py $(ARGS)

bench-intake: setup ## how fast files are taken in, and how soon a whole group is sent
	@$(BIN)/python benchmarks/bench_intake.py $(ARGS)

bench-overhead: setup ## what the orchestration of a group costs, with empty stages and with up to 100,000 groups waiting
	@$(BIN)/python benchmarks/bench_overhead.py $(ARGS)

bench-scaling: setup ## tiles an hour of 1, 2 and 4 worker processes and of two hosts, against `contimg plan`
	@$(BIN)/python benchmarks/bench_scaling.py $(ARGS)

chaos: ## 300 groups through the real service under 200 faults; SEED=… replays a run, ARGS="--store sqlite" …
	@scripts/setup.sh tests
	@$(BIN)/python tests/chaos/chaos.py --seed $(SEED) $(ARGS)

soak: ## simulated nights at many times real speed for HOURS=…: what grows?
	@scripts/setup.sh tests
	@$(BIN)/python tests/chaos/soak.py --hours $(HOURS) $(ARGS)

compose-build: ## build the container image
	@$(COMPOSE) build stream

compose-up: ## start the service in containers
	@$(COMPOSE) up --detach

compose-down: ## stop it
	@$(COMPOSE) down

compose-logs: ## follow the logs of one service: make compose-logs SERVICE=stream
	@$(COMPOSE) logs --follow $(SERVICE)

clean: ## remove what building and testing left, the environment included
	@rm -rf .venv build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
