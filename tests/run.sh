#!/usr/bin/env bash
# Lint and test everything: bash tests/run.sh [--all (the slow tests, too)] [pytest arguments]
set -eu
. "$(dirname "$0")/setup.sh"
.venv/bin/ruff check .
.venv/bin/ruff format --check .
exec .venv/bin/python -m pytest tests "$@"
