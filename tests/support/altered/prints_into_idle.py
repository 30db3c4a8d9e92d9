"""Run the script with a standard output as that of IDLE: with write() and flush()."""

import sys

import altered


class Window:
    def __init__(self, stream):
        self.write, self.flush = stream.write, stream.flush


sys.stdout = Window(sys.stdout)
altered.script().main()
