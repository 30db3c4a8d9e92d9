#!/usr/bin/env bash
# Plays the tutorial, unattended, on a real broker and prints a verdict. With the
# argument `usual`, it sets the usual way beside these scripts: see demo.py.
. "$(dirname "$0")/setup.sh"
exec .venv/bin/python tests/demo.py "$@"
