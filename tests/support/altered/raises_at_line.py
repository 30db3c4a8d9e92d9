"""Let the work raise where it would print a line that contains RAISES_AT."""

import os

import altered

script = altered.script()


def print_or_raise(*values, **options):
    if any(os.environ["RAISES_AT"] in str(value) for value in values):
        raise RuntimeError("the mail server is on fire")
    print(*values, **options)


script.print = print_or_raise
script.main()
