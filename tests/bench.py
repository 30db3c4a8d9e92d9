"""Measure the three scripts on a real broker. Run it by hand, on a machine at rest.

    pip install -r tests/bench/requirements.txt
    python tests/bench.py [--peers] [--quick] [--only TITLE] [--against DIR] > bench.md

Each script takes turns with bare kafka-python loops that do the same job, with the
client's defaults and with one record a poll, and with copies of the streaming worker
that take more. With --peers, the workers also take turns with other clients:
bench/peers.py shows them. All of them read one partition and print the same lines to
/dev/null. A rate counts what the group
has committed (for producers: what is in the topic) from the moment when that begins to
move, so the start of a process is left out. A ratio is the median of the ratios of the
rounds.
"""

import argparse
import os
import pathlib
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

from broker import VERSION, Broker

HERE = pathlib.Path(__file__).resolve().parent
sys.path += [str(HERE / "support"), str(HERE / "bench")]
from measure import SCRIPTS, Bench  # noqa: E402

KIT, BARE = "this kit", "kafka-python"
ONE = f"{BARE}, one record a poll"
PEERS = {  # the name of each client, and of its package
    "confluent-kafka": "confluent-kafka",
    "aiokafka": "aiokafka",
    "faststream": "faststream",
    "arroyo": "sentry-arroyo",
}
COMMITS = {"each": ", a commit for each", "shared": ", a commit every 10 ms"}


def table(title, head, rows):
    """Print a table in markdown."""
    print(f"\n## {title}\n")
    for row in [head, ["---"] + ["---:"] * (len(head) - 1), *rows]:
        print(f"| {' | '.join(row)} |", flush=True)


def race_table(title, runs, names):
    """Print medians, and the ratio to each job of the bare loops."""
    bases = [(client, job) for client, job in runs if client in (BARE, ONE)]
    to = [f"to bare{c.removeprefix(BARE)}{COMMITS.get(job, '')}" for c, job in bases]
    rows = []
    for (client, job), own in runs.items():
        row = [names.get(client, client) + COMMITS.get(job, "")]
        row.append(f"{statistics.median(run.rate for run in own):,.0f}")
        for base in bases:
            ratios = [run.rate / bare.rate for run, bare in zip(own, runs[base])]
            median = statistics.median(ratios)
            row.append(f"{median:.2f} ({min(ratios):.2f} to {max(ratios):.2f})")
        row.append(f"{statistics.median(run.cpu_per_million for run in own):,.0f}")
        row.append(f"{max(run.peak for run in own):.0f}")
        rows.append(row)
    table(title, ["", "messages/s", *to, "CPU s/million", "peak MB"], rows)


def version(package, python=sys.executable):
    """Return the version of a package in the environment of this Python."""
    code = f"import importlib.metadata as m; print(m.version({package!r}))"
    command = [str(python), "-c", code]
    return subprocess.run(command, capture_output=True, text=True).stdout.strip()


def knobs(folder):
    """Return {records a poll: its name} and copies of the streaming worker with it."""
    code = (HERE.parent / SCRIPTS["shared"]).read_text(encoding="utf-8")
    names, copies = {1: KIT}, {}
    for records in (20, 100, 500):
        name = names[records] = f"{KIT}, max_poll_records={records}"
        copies[name] = (sys.executable, folder / str(records))
        copies[name][1].mkdir()
        changed = code.replace("max_poll_records=1,", f"max_poll_records={records},")
        (copies[name][1] / SCRIPTS["shared"]).write_text(changed, encoding="utf-8")
    return names, copies


def run(bench, checkouts, records, peers, only):
    """Measure everything. Print each table when it is complete."""
    names = {c: f"{c} ({BARE} {version(BARE, checkouts[c][0])})" for c in checkouts}
    names[BARE] = f"bare {BARE} {version(BARE)}"
    names[ONE] = f"bare {ONE}"
    names.update({peer: f"{peer} {version(PEERS[peer])}" for peer in peers})
    bench.fill()
    workers = [*checkouts, BARE, *peers]
    streaming = [*checkouts, *list(records.values())[1:], BARE, ONE, *peers]
    shared = [(c, "shared") for c in streaming]
    races = {
        "Streaming, a commit for each message": [(c, "each") for c in [BARE, *peers]],
        "Streaming, a commit every 10 ms": [*shared, (BARE, "each")],
        "Batch, 500 messages and a commit": [(c, "batch") for c in workers],
        "Producer": [(c, "producer") for c in [*checkouts, BARE]],
    }
    for title, contestants in races.items():
        if only in title:
            race_table(title, bench.race(title, contestants), names)
    if only in "Rebalance":
        rows = []
        for number, client in records.items():
            seconds = bench.waits(client, number)
            rows.append([str(number), f"{statistics.median(seconds):.2f}"])
            rows[-1].append(f"{max(seconds):.2f}")
        head = ["records a poll", "a second worker waits, s: median", "worst"]
        table("Rebalance, 0.05 s of work for each user", head, rows)
    if only in "Idle":
        idle_table(bench, checkouts, names)


def idle_table(bench, checkouts, names):
    """Print what a worker costs that waits, and how long its stop takes."""
    rows = []
    for job in ("shared", "batch"):
        for client in checkouts:
            cpu, memory, stops = bench.idle(client, job)
            row = [f"{names[client]}, {SCRIPTS[job]}", f"{cpu:.1f}", f"{memory:.0f}"]
            times = [statistics.median(stops), max(stops)]
            rows.append(row + [f"{seconds * 1000:.1f}" for seconds in times])
    table("Idle", ["", "CPU % of a core", "MB", "stop, ms: median", "worst"], rows)


def main():
    """Start a broker, and measure."""
    parser = argparse.ArgumentParser(description="Measure the three scripts.")
    parser.add_argument("--peers", action="store_true", help=f"also {', '.join(PEERS)}")
    parser.add_argument("--quick", action="store_true", help="less time, rough figures")
    parser.add_argument("--only", default="", help="measure the tables of this title")
    parser.add_argument("--against", type=pathlib.Path, help="another checkout, too")
    args = parser.parse_args()
    checkouts = {KIT: (sys.executable, HERE.parent)}
    if args.against:
        python = args.against / ".venv" / "bin" / "python"
        found = python if python.exists() else sys.executable
        checkouts[str(args.against)] = (found, args.against)
    data = tempfile.mkdtemp(prefix="kafka-bench-")
    broker = Broker(data)
    try:
        broker.start()
        system = f"{platform.system()}, Python {platform.python_version()}"
        load = f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f} before"
        print(f"# Benchmark of {time.strftime('%F')}\n")
        print(f"{system}, {load}, Kafka {VERSION}", flush=True)
        records, copies = knobs(pathlib.Path(data))
        bench = Bench(broker.address, {**checkouts, **copies}, args.quick)
        run(bench, checkouts, records, PEERS if args.peers else (), args.only)
    finally:
        broker.kill()
        shutil.rmtree(data)


if __name__ == "__main__":
    main()
