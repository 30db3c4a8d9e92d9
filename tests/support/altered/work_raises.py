"""Raise where the script would print a line with RAISES_AT, as work that fails does.

Or call sys.exit() where it would print a line with EXITS_AT.
"""

import os
import sys

import altered

script = altered.script()


def raise_or_print(*values, **options):
    if os.getenv("EXITS_AT", "nowhere") in str(values):
        sys.exit()
    if os.getenv("RAISES_AT", "nowhere") in str(values):
        raise RuntimeError("the mail server is on fire")
    print(*values, **options)


script.print = raise_or_print
script.main()
