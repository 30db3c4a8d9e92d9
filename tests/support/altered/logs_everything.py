"""Run the script with all of Python's logging switched on."""

import logging

import altered

logging.basicConfig(level=1)
altered.script().main()
