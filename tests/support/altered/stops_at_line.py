"""Send the worker a signal just before it prints a line that contains STOPS_AT."""

import os
import signal

import altered

script = altered.script()


def print_after_signal(*values, **options):
    if any(os.environ["STOPS_AT"] in str(value) for value in values):
        signal.raise_signal(signal.SIGINT)
    print(*values, **options)


script.print = print_after_signal
script.main()
