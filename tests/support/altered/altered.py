"""What all programs in this folder begin with."""

import importlib
import sys


def script():
    """Import the script that the first argument names. Leave it the other arguments."""
    return importlib.import_module(sys.argv.pop(1))
