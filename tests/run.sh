#!/usr/bin/env bash
# Lints and tests everything: bash tests/run.sh [--all, to run the slow tests, too] [...]
# Other arguments are pytest's. Without a path among them, it runs all tests.
set -eu
. "$(dirname "$0")/setup.sh"
case " $* " in
*" --all "*) # 150 MB for one test, which is skipped where it has no wheel
    in_venv pip install --quiet --disable-pip-version-check \
        -r tests/requirements-slow.txt ||
        echo "warning: some of the slow tests will be skipped" >&2
    ;;
esac
case "$*" in
*tests/*) ;;
*) set -- tests "$@" ;;
esac
.venv/bin/ruff check --no-cache .
.venv/bin/ruff format --no-cache --check .
exec .venv/bin/python -m pytest "$@"
