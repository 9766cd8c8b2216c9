# Needs Python >= 3.11 with pip, and make. Everything else is installed beside the project:
# uv in .tools/, the project and its tools in .venv/.

PYTHON ?= python3
ARGS ?=

UV := $(CURDIR)/.tools/bin/uv
export UV_PYTHON := $(shell $(PYTHON) -c "import sys; print(sys.executable)" 2>/dev/null)
export UV_PYTHON_DOWNLOADS := never
# Trust what the system trusts, as pip does.
export UV_SYSTEM_CERTS ?= true
unexport VIRTUAL_ENV
# The tests start many processes: without compiled files each compiles all that it imports.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help setup demo test test-faults soak bench bench-peers lint format wheel-test migrations-check cockroachdb-check clean

help: ## print this list
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(firstword $(MAKEFILE_LIST)) | expand -t 20

setup: # the right Python, and uv
	@test -n "$$UV_PYTHON" || { echo "session-store needs Python 3.11 or newer: '$(PYTHON)' was not found; say which: make PYTHON=/path/to/python3" >&2; exit 1; }
	@"$$UV_PYTHON" -c 'import sys; sys.exit(sys.version_info < (3, 11) and "session-store needs Python 3.11 or newer, and $(PYTHON) is %d.%d; say which: make PYTHON=/path/to/python3" % sys.version_info[:2])'
	@test -x "$(UV)" || "$$UV_PYTHON" -m pip install -q --disable-pip-version-check --root-user-action=ignore -t .tools uv

demo: setup ## real conversations through a store; ARGS="--storage file"
	@"$(UV)" run --no-dev python -m session_store demo $(ARGS)

test: setup ## the test suite; ARGS="-k name"
	@"$(UV)" run pytest $(ARGS)

test-faults: setup ## the fault suite at its full counts; ARGS="F1 S2"
	@"$(UV)" run python -m tests.faults $(ARGS)

soak: setup ## everything at once for long; ARGS="--minutes 30"
	@"$(UV)" run python -m tests.faults.soak $(ARGS)

fuzz: setup ## a coverage-guided fuzzer on what reads files, 10 minutes each; ARGS="archive --minutes 1"
	@"$(UV)" run --isolated --with atheris python -m tests.fuzz $(ARGS)

bandit: setup ## what is unsafe in the code, by the rules that ruff does not have
	@"$(UV)" run --isolated --no-dev --with bandit bandit -q -ll -ii -c pyproject.toml -r session_store migrations

audit: setup ## known holes in what the package needs; asks a database in the network
	@"$(UV)" run --isolated --no-dev --all-extras --with pip-audit pip-audit --skip-editable

bench: setup ## how fast the stores are beside SQL by hand; ARGS="--stores sqlite"
	@"$(UV)" run python -m benchmarks --json docs/benchmarks.json --svg docs/benchmarks.svg $(ARGS)

bench-peers: setup ## the same with other packages' stores, in an environment of their own
	@"$(UV)" run --isolated --with-requirements benchmarks/peers.txt \
		python -m benchmarks --peers $(ARGS)

lint: setup ## ruff and mypy
	@"$(UV)" run ruff check
	@"$(UV)" run ruff format --check
	@"$(UV)" run mypy

format: setup ## let ruff repair and format
	@"$(UV)" run ruff check --fix
	@"$(UV)" run ruff format

define WHEEL_TEST
from contextlib import closing
from importlib.metadata import version
from importlib.resources import files

import session_store
from session_store import PersistentSessionService, open_repository

package = files(session_store)
for name in ("py.typed", "demo_data/chitchat.jsonl", "migrations/env.py"):
    assert package.joinpath(name).is_file(), f"{name} is missing from the wheel"
with closing(open_repository("sqlite:///x.db")):
    pass
with PersistentSessionService(storage_type="sqlite", storage_path="x.db") as service:
    service.create_session(user_id="ada", session_id="s1")
    service.append("s1", {"role": "user", "text": "hi"})
with PersistentSessionService(storage_type="sqlite", storage_path="x.db") as service:
    assert service.get_session("s1").entries[0].seq == 1
print("wheel-test: session-store", version("session-store"), "works from", package)
endef
export WHEEL_TEST

wheel-test: setup ## build, install into an empty environment, use from elsewhere
	@dir=$$(mktemp -d) && trap 'rm -rf "$$dir"' EXIT && mkdir "$$dir/cwd" && \
	"$(UV)" build -q -o "$$dir/dist" && \
	"$(UV)" venv -q "$$dir/venv" && \
	"$(UV)" pip install -q --python "$$dir/venv" "$$dir"/dist/*.whl && \
	cd "$$dir/cwd" && \
	"$$dir/venv/bin/session-store" --help >/dev/null && \
	"$$dir/venv/bin/session-store" db sql >/dev/null && \
	"$$dir/venv/bin/python" -I -c "$$WHEEL_TEST"

migrations-check: setup ## up, compare with the models, down, and as SQL, on a new SQLite file
	@dir=$$(mktemp -d) && trap 'rm -rf "$$dir"' EXIT && \
	export SESSION_STORAGE_URL="sqlite:///$$dir/check.db" && \
	"$(UV)" run alembic upgrade head && \
	"$(UV)" run alembic check && \
	"$(UV)" run alembic downgrade base && \
	"$(UV)" run alembic upgrade head --sql >/dev/null && \
	echo "migrations-check: upgrade, check, downgrade and SQL work"

cockroachdb-check: setup ## compile what we send for CockroachDB's dialect, which needs SQLAlchemy 2.0
	@"$(UV)" run --with "sqlalchemy<2.1" --with sqlalchemy-cockroachdb --with pglast pytest tests/test_cockroachdb.py

clean: ## remove all that make has made
	rm -rf .tools .venv uv.lock build dist .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find session_store tests migrations -name __pycache__ -type d -prune -exec rm -rf {} +
