"""Run a script again and again, and send it a signal where one of its lines begins.

The argument is the script. Each line of the standard input asks for a run. It is a JSON
list of flags, of two files for the output, and of a place: [83, 2, "SIGTERM"] is where
line 83 begins for the second time, in whatever thread. Instead of a signal it may be an
exception. The answer is the number of the run's process, and then its exit status. If
the line is 0, the run writes at its end how often it visited each line.
"""

import atexit
import collections
import json
import os
import runpy
import signal
import sys
import threading

import kafka  # noqa: F401  # a run is a fork of this process, and need not import it

script, visits = sys.argv[1], collections.Counter()


def trace(frame, event, _):
    if frame.f_code.co_filename != script:
        return None
    if event == "line":
        visits[frame.f_lineno] += 1
        if place[:2] == [frame.f_lineno, visits[frame.f_lineno]]:
            os.write(1, b"the place is reached\n")
            if place[2] == "exception":
                raise RuntimeError("the mail server is on fire")
            os.kill(os.getpid(), signal.Signals[place[2]])
    return trace


for request in sys.stdin:
    flags, outputs, place = json.loads(request)
    process = os.fork()
    if not process:
        break
    print(process, flush=True)
    print(os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]), flush=True)
else:
    sys.exit()

for descriptor, file in enumerate([os.devnull, *outputs]):
    os.dup2(os.open(file, os.O_RDWR), descriptor)
if place[0] == 0:
    atexit.register(lambda: os.write(2, json.dumps(visits).encode()))
os.nice(5)  # other tests measure time
sys.argv[1:] = flags
threading.settrace(trace)
sys.settrace(trace)
runpy.run_path(script, run_name="__main__")
