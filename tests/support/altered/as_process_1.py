"""Run the script as process 1, as in a container without an init process."""

import os
import sys

name, *flags = sys.argv[1:]
command = [sys.executable, os.path.join(os.environ["PYTHONPATH"], f"{name}.py")]
unshare = ["unshare", "--fork", "--pid", "--kill-child"]
os.execvp("unshare", [*unshare, *command, *flags])
