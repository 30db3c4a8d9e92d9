#!/usr/bin/env bash
# Plays the tutorial, unattended, on a real broker and prints a verdict: see demo.py.
. "$(dirname "$0")/setup.sh"
exec .venv/bin/python tests/demo.py
