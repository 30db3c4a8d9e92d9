"""Raise where the script would print a line with RAISES_AT, as work that fails does."""

import os

import altered

script = altered.script()


def raise_or_print(*values, **options):
    if os.environ["RAISES_AT"] in str(values):
        raise RuntimeError("the mail server is on fire")
    print(*values, **options)


script.print = raise_or_print
script.main()
