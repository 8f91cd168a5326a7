PYTHON ?= python3
VENV := .venv
PY := $(VENV)/bin/python
INSTALLED := $(VENV)/.installed
JS := tests/js
JS_INSTALLED := $(JS)/node_modules/.installed

# An active .venv must not be the Python that rebuilds it, and it has no pip.
export PATH := $(subst $(CURDIR)/$(VENV)/bin:,,$(PATH))

# A system upgrade can leave a .venv that has lost its Python or its packages: build it again.
ifneq ($(wildcard $(INSTALLED)),)
ifneq ($(shell $(PY) -c 'import gunicorn; print("fine")' 2>/dev/null),fine)
$(shell rm -f $(INSTALLED))
endif
endif

.PHONY: help run test unit check format token bench chaos soak clean
.DEFAULT_GOAL := help

help: ## Show this list
	@sed -n 's/^\([a-z]*\):.*## /\1	/p' $(MAKEFILE_LIST)

run: $(INSTALLED) ## Start the service with its own PostgreSQL, Valkey and demo data (PORT=3002)
	@$(PY) -m dev.run

test: $(INSTALLED) $(JS_INSTALLED) ## Run the tests against real servers
	@$(PY) -m pytest

unit: $(INSTALLED) ## Run the tests that need no servers: a few seconds
	@$(PY) -m pytest -n 0 tests/unit

check: $(INSTALLED) $(JS_INSTALLED) ## Everything that must pass: format, lint, types, tests, some chaos
	@$(PY) -m ruff format --check .
	@$(PY) -m ruff check .
	@$(PY) -m mypy
	@$(PY) -m pytest
	@$(PY) -m pytest -n 2 --dist load -m long
	@$(PY) -m chaos --seconds 30 --seed 3 --weather $(SHORT_WEATHER)

format: $(INSTALLED) ## Format the code and mend what the linter can
	@$(PY) -m ruff check --fix --quiet .
	@$(PY) -m ruff format .

token: $(INSTALLED) ## Print a development token (ROLE=admin, USER_ID=<uuid>)
	@$(PY) -m dev.make_token $(ROLE) $(if $(USER_ID),--user-id $(USER_ID))

bench: $(INSTALLED) ## Measure what requests cost, how that grows, and what an instance takes
	@$(PY) -m bench

# Under 90 s in all.
SHORT_WEATHER := instance-killed,postgres-stopped,postgres-answers-lost,redis-flushed,split-from-redis,connections-cut,worker-killed

chaos: $(INSTALLED) ## Break things while people buy, and check what they were told (SECONDS=600, SEED=, WEATHER=)
	@$(PY) -m chaos $(if $(SECONDS),--seconds $(SECONDS)) $(if $(SEED),--seed $(SEED)) $(if $(WEATHER),--weather $(WEATHER))

soak: $(INSTALLED) ## Sell for half an hour, and see that nothing has grown (SECONDS=1800)
	@$(PY) -m soak $(if $(SECONDS),--seconds $(SECONDS))

clean: ## Remove the virtual environment, the development data and all caches
	rm -rf $(VENV) $(JS)/node_modules .dev .mypy_cache .ruff_cache .pytest_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# Without pip inside, so that a Debian Python without ensurepip is enough. The stamp comes last:
# an installation that was interrupted starts afresh. PostgreSQL never runs as root, so whoever
# root lends it must be able to read the files: hence the umask. stdout belongs to `make token`.
$(INSTALLED): requirements.txt requirements-dev.txt
	@$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("Python 3.11 or later is needed, this is " + sys.version.split()[0] + ". Try: make PYTHON=python3.12")'
	@echo 'Installing into $(VENV) (once, and when the requirements change)' >&2
	@umask 022 && $(PYTHON) -m venv --clear --without-pip $(VENV) && $(PYTHON) -m pip --python $(PY) install --quiet --disable-pip-version-check -r requirements-dev.txt >&2
	@touch $@

# The browsers' own Socket.IO client, run by the Node.js that is in .venv; no other is needed. The
# cache is ours too: the home folder's may belong to root, or not exist.
$(JS_INSTALLED): $(JS)/package.json $(JS)/package-lock.json $(JS)/.npmrc | $(INSTALLED)
	@echo 'Installing into $(JS)/node_modules' >&2
	@cd $(JS) && PATH="$(CURDIR)/$(VENV)/bin:$$PATH" npm ci --ignore-scripts --no-audit --no-fund --no-update-notifier --loglevel=error --cache '$(CURDIR)/$(VENV)/.npm' >&2
	@touch $@
