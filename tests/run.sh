#!/usr/bin/env bash
# Lint and test everything: bash tests/run.sh [--all (the slow tests, too)] [pytest arguments]
set -eu
. "$(dirname "$0")/setup.sh"
case " $* " in
*" --all "*) # 250 MB, for two tests: they are skipped where there is no wheel
    .venv/bin/python -m pip install --quiet --disable-pip-version-check \
        -r tests/requirements-slow.txt || echo "warning: some of the slow tests will be skipped" >&2
    ;;
esac
.venv/bin/ruff check .
.venv/bin/ruff format --check .
exec .venv/bin/python -m pytest tests "$@"
