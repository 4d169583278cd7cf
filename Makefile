# vcond: `make demo` and `make test` set up everything they need on a fresh Debian 12.
SHELL := /bin/sh
BIN := .venv/bin
CODE := vcond adapters tests tools
PBX ?=
PREFIX ?= /opt/vcond
WITH ?=
DESTDIR ?=

.PHONY: help setup demo test install lint format bench lock clean
help:
	@echo "make demo            a spoken call through a fresh daemon: live text, then a vCon"
	@echo "make demo PBX=asterisk   the same through a real Asterisk"
	@echo "make test            lint and every test, with real peers on loopback"
	@echo "make install         vcond on this machine, as a service (root; WITH=webrtc for browsers)"
	@echo "make lint | format | bench | lock | clean"

setup: .venv/.ready
.venv/.ready: requirements.lock pyproject.toml tools/setup.sh
	@tools/setup.sh

demo: setup
	@$(BIN)/vcond demo $(if $(PBX),--pbx $(PBX)) --out demo-out

test: lint
	@tools/setup.sh test
	$(BIN)/pytest $(PYTEST)

# As root; nothing of .venv is used.
install:
	@PREFIX=$(PREFIX) WITH=$(WITH) DESTDIR=$(DESTDIR) tools/install.sh

lint: setup
	$(BIN)/ruff check $(CODE)
	$(BIN)/ruff format --check $(CODE)
	$(BIN)/mypy
	$(BIN)/python tools/check_rooms.py

format: setup
	$(BIN)/ruff check --fix $(CODE)
	$(BIN)/ruff format $(CODE)

bench: setup
	$(BIN)/python tools/bench.py

# Pins every package with its hashes. The lock names no index: whatever yours is, it must serve these very files.
lock: setup
	$(BIN)/python -m pip -q install uv
	$(BIN)/uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header \
	  --extra embedded --extra webrtc --extra dev pyproject.toml -o requirements.lock
	for extra in embedded webrtc; do echo 'hatchling>=1.27' | $(BIN)/uv pip compile -q --universal --python-version 3.11 \
	  --generate-hashes --no-emit-index-url --no-header --no-annotate -c requirements.lock --extra $$extra pyproject.toml - \
	  -o requirements-$$extra.lock; done

clean:
	rm -rf .venv build dist demo-out bench-out .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
