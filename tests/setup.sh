# Sourced by demo.sh and run.sh: goes to the root of the repository and makes .venv ready there.
# Leaves the shell with status 1, and a line that says what is missing, if that cannot be done.

CDPATH='' cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." || exit 1

fail() {
    echo "error: $1" >&2
    exit 1
}

setup() {
    local requirements
    requirements=$(cat requirements.txt tests/requirements.txt) || exit 1
    # The import finds a .venv whose Python is gone or was upgraded since.
    if [ "$(cat .venv/installed 2>/dev/null)" = "$requirements" ] &&
        .venv/bin/python -c 'import kafka' 2>/dev/null; then
        return
    fi

    python3 -c 'import sys; sys.exit(sys.version_info < (3, 9))' 2>/dev/null ||
        fail "Python 3.9 or newer is needed: $(python3 --version 2>/dev/null || echo "no python3 found")"
    python3 -c 'import ensurepip' 2>/dev/null ||
        fail "this Python cannot make a .venv: sudo apt install python3-venv"
    echo "setting up .venv, this takes a minute the first time"
    # A .venv that works is kept, with whatever else is in it; one that we did not finish is not.
    if [ -e .venv/unfinished ] || ! .venv/bin/python -m pip --version >/dev/null 2>&1; then
        rm -rf .venv && mkdir .venv && touch .venv/unfinished && python3 -m venv .venv ||
            fail "could not make .venv"
    fi
    .venv/bin/python -m pip install --quiet --disable-pip-version-check \
        -r tests/requirements.txt || fail "could not install tests/requirements.txt into .venv"
    echo "$requirements" >.venv/installed
    rm -f .venv/unfinished
}

trap 'exit 130' INT # pip ends on Ctrl+C with a status like any other
setup
trap - INT
