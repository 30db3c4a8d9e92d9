# Sourced by demo.sh and run.sh: goes to the root of the repository and makes .venv ready.
# If that fails, the shell ends with status 1 and a line that says what to do.

CDPATH='' cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." || exit 1
export PYTHONDONTWRITEBYTECODE=1 # leave no __pycache__ behind

fail() {
    echo "error: $1" >&2
    exit 1
}

check_age() { # of this Python
    "$1" -c 'import sys; sys.exit(sys.version_info < (3, 9))' 2>/dev/null ||
        fail "Python 3.9 or newer is needed, and $1 is: $("$1" --version 2>&1)"
}

in_venv() { # settings that make pip install elsewhere do not apply here
    env -u PIP_TARGET -u PIP_PREFIX -u PIP_ROOT PIP_USER=0 .venv/bin/python -m "$@"
}

# A .venv that is there already is kept, with everything in it. Only one that we began
# and were not able to finish is removed.
make_venv() {
    if [ -e .venv/unfinished ]; then
        rm -rf .venv
    fi
    if .venv/bin/python --version >/dev/null 2>&1; then
        check_age .venv/bin/python
        in_venv pip --version >/dev/null 2>&1 || in_venv ensurepip >/dev/null 2>&1 ||
            fail ".venv has no pip: install pip into it, or move .venv away"
        return
    fi
    check_age python3
    python3 -c 'import ensurepip' 2>/dev/null ||
        fail "this Python cannot make a .venv: sudo apt install python3-venv"
    if [ ! -e .venv ]; then
        mkdir .venv && touch .venv/unfinished || fail "could not make .venv"
    fi
    rm -f .venv/bin/python* # links to a Python that was removed or upgraded
    python3 -m venv .venv || fail "could not make .venv"
}

setup() {
    local requirements
    requirements=$(cat requirements.txt tests/requirements.txt) || exit 1
    # The import finds out whether the Python of .venv has been removed or upgraded.
    if [ "$(cat .venv/installed 2>/dev/null)" = "$requirements" ] &&
        .venv/bin/python -c 'import kafka' 2>/dev/null; then
        return
    fi
    echo "setting up .venv, this takes a minute the first time"
    make_venv
    in_venv pip install --quiet --disable-pip-version-check -r tests/requirements.txt ||
        fail "could not install tests/requirements.txt into .venv"
    echo "$requirements" >.venv/installed
    rm -f .venv/unfinished
}

trap 'exit 130' INT # on Ctrl+C, pip ends with a status like any other
setup
trap - INT
