"""Raise, or send the script a signal, where it would print a line with AT_LINE.

The environment names the line, and in ACTION one of the two: "raise" or "signal".
"""

import os
import signal

import altered

script = altered.script()


def act_and_print(*values, **options):
    if any(os.environ["AT_LINE"] in str(value) for value in values):
        if os.environ["ACTION"] == "raise":
            raise RuntimeError("the mail server is on fire")
        signal.raise_signal(signal.SIGINT)
    print(*values, **options)


script.print = act_and_print
script.main()
