# vcond: `make demo` and `make test` set up everything they need on a fresh Debian 12 or 13.
SHELL := /bin/sh
BIN := .venv/bin
CODE := vcond adapters tests tools conftest.py
PBX ?=
VIEW ?=
PREFIX ?= /opt/vcond
WITH ?=
DESTDIR ?=
COMPILE := $(BIN)/uv pip compile -q --universal --generate-hashes --no-emit-index-url --no-header
MINUTES ?= 60
KILLS ?= 200
SUITE ?= bookworm trixie

.NOTPARALLEL:
.PHONY: help setup demo test peers quick slow random torture fresh install deb lint format picture bench lock clean
help:
	@echo "make demo            a spoken call through a fresh daemon: live text, then a vCon"
	@echo "make demo VIEW=1     the same, and the page stays up until Ctrl-C"
	@echo "make demo PBX=asterisk   the same through a real Asterisk"
	@echo "make quick           lint and every test that needs no PBX, browser or speech model, two at a time"
	@echo "make test            make quick, then real peers on loopback, speech models and fuzzing"
	@echo "make random          make quick in random order; SEED=N repeats one"
	@echo "make promises        the tests that docs/promises.md names"
	@echo "make torture         200 kills in live calls, power failures, fuzzing for an hour; KILLS=N, MINUTES=N, SEED=N"
	@echo "make fresh           make demo and make test on a bare Debian; SUITE=bookworm or trixie (root, mmdebstrap)"
	@echo "make coverage        the tests of make quick, measured: what they run of the code, against a floor"
	@echo "make docs            the tables of docs/ anew from the code"
	@echo "make site            the documentation as pages for a browser, in site"
	@echo "make install         vcond on this machine, as a service (root; WITH=webrtc for browsers, WITH=siprec)"
	@echo "make deb             packages for this Debian, vcond and vcond-webrtc, in dist"
	@echo "make lint | format | picture | bench | lock | clean"

setup: .venv/.ready
.venv/.ready: requirements.lock pyproject.toml tools/setup.sh
	@tools/setup.sh

demo: setup
	@$(BIN)/vcond demo $(if $(PBX),--pbx $(PBX)) $(if $(VIEW),--view) --out demo-out

test: peers quick slow

peers: setup
	@tools/setup.sh test

quick: lint
	$(BIN)/pytest -m "not slow" -n 2 --dist loadfile $(PYTEST)

slow: setup
	$(BIN)/pytest -m slow -n 3 --dist loadgroup $(PYTEST)

# The tests of make quick, measured: twice their CPU, so it is apart. The floor stands in tests/coverage-floor. What costs little,
# sys.monitoring, cannot see branches before Python 3.14; there coverage uses it by itself. A second floor, of lines alone,
# for Python 3.12 and 3.13 would be another number for the same thing.
.PHONY: coverage
coverage: setup
	$(BIN)/pytest -m "not slow" -n 2 --dist loadfile --cov --cov-report= $(PYTEST)
	$(BIN)/python tools/check_coverage.py

random: setup
	$(BIN)/pytest -p randomly $(if $(SEED),--randomly-seed=$(SEED)) -m "not slow" -n 2 --dist loadfile $(PYTEST)

.PHONY: promises
promises: peers
	$(BIN)/pytest -k "$$(grep -o 'test_[a-z0-9_]*' docs/promises.md | sort -u | paste -sd, | sed 's/,/ or /g')" $(PYTEST)

# By kills and power failures first, then every parser for as long as was asked. SEED=N repeats a storm of kills.
torture: peers
	VCOND_KILLS=$(KILLS) VCOND_STORM_CALLS=10 VCOND_STORM_SEED=$(or $(SEED),$(shell date +%s)) $(BIN)/pytest -s --timeout=0 $(PYTEST) \
	  tests/e2e/asterisk_daemon/test_pbx_daemon_storm.py
	VCOND_KILLS=$(KILLS) VCOND_POWER=$(KILLS) $(BIN)/pytest --timeout=0 $(PYTEST) tests/unit/capture/test_capture_consent_kill.py \
	  tests/unit/records/test_records_killed.py \
	  tests/unit/capture/test_capture_power.py \
	  tests/unit/journal/test_journal_power.py tests/unit/delivery/test_delivery_power.py tests/unit/storage/test_storage_power.py
	VCOND_FUZZ_SECONDS=$$(($(MINUTES) * 60)) $(BIN)/pytest -m fuzz --timeout=0 $(PYTEST)

fresh:
	@for suite in $(SUITE); do tools/fresh.sh $$suite $(if $(RUN),'$(RUN)') || exit 1; done

# As root; nothing of .venv is used.
install:
	@PREFIX=$(PREFIX) WITH=$(WITH) DESTDIR=$(DESTDIR) tools/install.sh

# For the Debian that this runs on, 12 or 13.
deb: setup
	@rm -f dist/vcond*.deb
	@$(BIN)/python tools/deb.py

lint: setup
	$(BIN)/ruff check $(CODE)
	$(BIN)/ruff format --check $(CODE)
	$(BIN)/mypy
	$(BIN)/mypy --config-file tests/bench/mypy.ini --cache-dir .mypy_cache/bench tests/bench
	$(BIN)/python tools/check_rooms.py
	$(BIN)/python tools/make_docs.py --check

.PHONY: docs
# What is made from the code: tables of metrics, configuration keys and commands in docs/, lists of adapters in pyproject.toml.
docs: setup
	$(BIN)/python tools/make_docs.py

.PHONY: site
site: setup
	@tools/setup.sh site
	@$(BIN)/python tools/site.py

format: setup
	$(BIN)/ruff check --fix $(CODE)
	$(BIN)/ruff format $(CODE)

# docs/imports.svg: which room imports which.
picture: setup
	$(BIN)/python tools/make_picture.py docs/imports.svg

bench: setup
	$(BIN)/python tools/bench.py

# Pins every package with its hashes. The lock names no index: whatever yours is, it must serve these very files.
lock: setup
	$(BIN)/python -m pip -q install uv
	$(COMPILE) --python-version 3.11 --extra embedded --extra siprec --extra webrtc --extra pkcs11 --extra dev pyproject.toml -o requirements.lock
	$(COMPILE) --python-version 3.11 tests/peers/judges/requirements.in -o tests/peers/judges/requirements.txt
	$(COMPILE) --python-version 3.11 tests/peers/judges/sdks.in -o tests/peers/judges/sdks.txt
	$(COMPILE) --python-version 3.11 tests/peers/api/requirements.in -o tests/peers/api/requirements.txt
	$(COMPILE) --python-version 3.11 tests/peers/s3/requirements.in -o tests/peers/s3/requirements.txt
	$(COMPILE) --python-version 3.11 docs/site/requirements.in -o docs/site/requirements.txt
	$(COMPILE) --python-version 3.12 --no-deps tests/peers/judges/judges.in -o tests/peers/judges/judges.txt
	for peer in whip jambonz page; do (cd tests/peers/$$peer && npm update --package-lock-only --ignore-scripts --omit-lockfile-registry-resolved --no-audit --no-fund) || exit 1; done
	for extra in embedded siprec webrtc; do echo 'hatchling>=1.27' | $(COMPILE) --python-version 3.11 --no-annotate \
	  -c requirements.lock --extra $$extra pyproject.toml - -o requirements-$$extra.lock; done

clean:
	rm -rf .venv build dist site demo-out bench-out .mypy_cache .ruff_cache .pytest_cache .hypothesis .coverage*
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
