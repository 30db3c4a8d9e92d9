"""Measure the three scripts on a real broker: `python tests/bench.py [--peers] [--quick]`.

Beside each script, in turn and on the same messages (one partition), runs the bare kafka-python
loop that does the same job, and with --peers the same job on other clients: bench_peers.py says
what exactly. Every process prints the same lines, to /dev/null (where latency is measured, to a
pipe). Rates come from the group's committed offset, or from the end of the log for producers, and
from when it begins to move: the start of a process does not count.

All runs in an environment of its own, OUT/venv: made here, from bench-requirements.txt.
"""

import argparse
import os
import pathlib
import platform
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import uuid
import venv

import psutil
from broker import Broker
from kafka import KafkaProducer
from kit import Script, SignUps

HERE = pathlib.Path(__file__).resolve().parent
KIT, BARE = "this kit", "kafka-python"
PEERS = ("confluent-kafka", "aiokafka", "faststream", "arroyo")
JOBS = {"streaming": "streaming_worker.py", "batch": "batch_worker.py", "producer": "producer.py"}
PERIOD = 0.02  # seconds between two looks at a process and its offset
LIMIT = 600  # seconds that one run may take
OUTAGE = 6  # seconds that a broker is away


class Size:
    """How much of everything: messages and seconds a run, rounds, stops, seconds of idling."""

    def __init__(self, quick):
        self.goals = {
            "streaming": 50_000 if quick else 100_000,
            "batch": 200_000 if quick else 500_000,
            "producer": 50_000 if quick else 200_000,
        }
        self.seconds = 4 if quick else 12
        self.load = {
            "streaming": 50_000 if quick else 100_000,
            "batch": 200_000 if quick else 1_000_000,
        }
        self.rounds, self.stops, self.idle, self.alone, self.outages = (
            (2, 5, 3, 30, 2) if quick else (5, 20, 10, 200, 5)
        )


class Run:
    """What one process did: samples of (seconds, messages, CPU seconds, resident MB)."""

    def __init__(self, samples):
        self.samples = samples
        start, _, cpu, _ = max(sample for sample in samples if not sample[1])
        end, done, all_cpu, _ = samples[-1]
        self.rate = done / (end - start)
        self.cpu_per_million = (all_cpu - cpu) / done * 1e6
        self.peak = max(sample[3] for sample in samples)


def command(client, job, topic, group, count):
    """Return the command of one contestant."""
    if client != KIT:
        return [HERE / "bench_peers.py", client, job, topic, group, count]
    flags = ["--count", count, "--delay", 0]
    if job != "producer":
        flags = ["--group", group, "--work-seconds", 0]
    return [HERE.parent / JOBS[job], "--topic", topic, *flags]


def start(bootstrap, arguments, stdout=subprocess.DEVNULL):
    """Start a contestant; its errors are shown."""
    return subprocess.Popen(
        [sys.executable, *map(str, arguments)],
        stdout=stdout,
        stdin=subprocess.DEVNULL,
        env={**os.environ, "KAFKA_BOOTSTRAP_SERVERS": bootstrap},
        encoding="utf-8",
    )


def fill(signups, count):
    """Put `count` sign-ups into the topic, in big batches."""
    producer = KafkaProducer(bootstrap_servers=signups.bootstrap, linger_ms=20, batch_size=2**18)
    for number in range(count):
        email = f"user{number}@gmail.com".encode()
        producer.send(signups.topic, key=email, value=email)
    producer.flush(LIMIT)
    producer.close(LIMIT)


def watch(client, job, signups, goal, seconds=LIMIT):
    """Run one contestant until `goal` messages are done, or for `seconds`; return its Run."""
    signups.group = f"bench-{uuid.uuid4().hex[:8]}"
    if job == "producer":
        signups = SignUps(signups.bootstrap)
    look = (lambda: signups.ends()[0]) if job == "producer" else signups.committed
    process = start(signups.bootstrap, command(client, job, signups.topic, signups.group, goal))
    began, samples, usage = time.monotonic(), [], psutil.Process(process.pid)
    moved_at = None
    try:
        while not samples or samples[-1][1] < goal:
            done, now = look(), time.monotonic() - began
            moved_at = moved_at or (now if done else None)
            if moved_at and now > moved_at + seconds:
                break
            try:
                cpu, memory = sum(usage.cpu_times()[:2]), usage.memory_info().rss / 1e6
                samples.append((now, done, cpu, memory or samples[-1][3]))
            except psutil.NoSuchProcess:  # a producer that is through
                samples.append((now, done, *samples[-1][2:]))
            is_through = process.poll() is not None
            if (is_through and done < goal and look() < goal) or now > LIMIT:
                raise SystemExit(f"error: {client}, {job}: {done} of {goal} after {now:.0f} s")
            time.sleep(PERIOD)
    finally:
        process.kill()
        process.wait()
        if job == "producer":
            signups.close()
    return Run(samples)


def race(clients, job, topic, size):
    """Let the clients do a job in turn, A B C A B C; return {client: [Run, ...]}."""
    runs = {client: [] for client in clients}
    for number in range(size.rounds):
        for client in clients:
            report(f"{job}, round {number + 1} of {size.rounds}: {client}")
            runs[client].append(watch(client, job, topic, size.goals[job], size.seconds))
    return runs


def rest(client, job, bootstrap, size):
    """Return (CPU % of a core, resident MB, latencies in s) of a worker with nothing to do.

    Then it gets messages one at a time, each after the one before was handled: the latency is from
    send() to its last line. Left out for batches, where it is the interval's choice.
    """
    report(f"idle: {job}, {client}")
    signups, latencies = SignUps(bootstrap), []
    arguments = command(client, job, signups.topic, signups.group, 0)
    producer = KafkaProducer(bootstrap_servers=bootstrap)
    process = start(bootstrap, arguments, stdout=subprocess.PIPE)
    try:
        signups.wait_for_members(1)
        time.sleep(1)
        usage = psutil.Process(process.pid)
        usage.cpu_percent()
        time.sleep(size.idle)
        cpu, memory = usage.cpu_percent(), usage.memory_info().rss / 1e6
        for number in range(size.alone + 1 if job == "streaming" else 0):
            began = time.monotonic()
            producer.send(signups.topic, key=b"key", value=b"user%d@gmail.com" % number)
            while not process.stdout.readline().startswith("finished"):
                assert process.poll() is None, f"{client} ended"
            latencies.append(time.monotonic() - began)
            time.sleep(random.uniform(0, 0.02))
    finally:
        process.kill()
        process.communicate()
        producer.close(1)
        signups.close()
    return cpu, memory, latencies[1:]


def stops(job, bootstrap, size):
    """Return the seconds from SIGTERM to the end of an idle worker, each time anew."""
    signups, seconds = SignUps(bootstrap), []
    for number in range(size.stops):
        report(f"stop {number + 1} of {size.stops}: {job}")
        process = start(bootstrap, command(KIT, job, signups.topic, signups.group, 0))
        try:
            signups.wait_for_members(1)
            time.sleep(random.uniform(0.2, 0.6))  # anywhere in a poll()
            began = time.monotonic()
            process.terminate()
            assert process.wait(LIMIT) == 0
            seconds.append(time.monotonic() - began)
        finally:
            process.kill()
    signups.close()
    return seconds


def recover(clients, size):
    """Return {client: seconds from a broker's return to the next handled message, each time anew}.

    All at once, each in a group of its own, on a broker that is killed in between. One that ends
    in an outage is left out of that and the later ones.
    """
    data = tempfile.mkdtemp(prefix="kafka-bench-")
    broker, workers, seconds = Broker(data), {}, {client: [] for client in clients}
    try:
        broker.start()
        signups = SignUps(broker.address)
        for client in clients:
            signups.group = f"bench-{client.replace(' ', '-')}"
            path, *arguments = command(client, "streaming", signups.topic, signups.group, 0)
            path = path.relative_to(HERE.parent)
            workers[client] = Script(path, *arguments, bootstrap=broker.address)
            signups.wait_for_members(1)
        for number in range(size.outages):
            report(f"outage {number + 1} of {size.outages}")
            broker.kill()
            time.sleep(OUTAGE)
            broker.start()
            back_at = time.monotonic()
            signups.publish("user@gmail.com")
            for client, worker in workers.items():
                try:
                    worker.wait_for("finished", number + 1)
                except AssertionError as error:
                    report(f"{client}: {error}")  # the bare loop may not outlast it
                    continue
                handled = [at for at, line in worker.timeline if line.startswith("finished")]
                seconds[client].append(handled[number] - back_at)
        signups.close()
    finally:
        for worker in workers.values():
            worker.kill()
        broker.kill()
        shutil.rmtree(data)
    return seconds


def report(line):
    """Tell what is going on."""
    print(f"{time.strftime('%H:%M:%S')} {line}", file=sys.stderr, flush=True)


def table(head, rows):
    """Return a markdown table."""
    rows = [head, ["---"] + ["---:"] * (len(head) - 1), *rows]
    return "".join(f"| {' | '.join(map(str, row))} |\n" for row in rows)


def throughput_table(runs):
    """Return the table of a race: medians, and the median of the rounds' ratios (worst to best)."""
    rows = []
    for client, own in runs.items():
        ratios = [run.rate / bare.rate for run, bare in zip(own, runs[BARE])]
        rows.append(
            [
                client,
                f"{statistics.median(run.rate for run in own):,.0f}",
                f"{statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})",
                f"{statistics.median(run.cpu_per_million for run in own):,.0f}",
                f"{max(run.peak for run in own):.0f}",
            ]
        )
    return table(["", "messages/s", "ratio to kafka-python", "CPU s/million", "peak MB"], rows)


def milliseconds(seconds):
    """Return (median, worst) in ms, as text."""
    if not seconds:
        return ["", ""]
    return [f"{value * 1000:.1f}" for value in (statistics.median(seconds), max(seconds))]


def draw(path, races, loads, idle, stopped, _):
    """Draw everything into one picture."""
    from matplotlib.figure import Figure  # in OUT/venv only

    figure = Figure(figsize=(15, 8), layout="constrained")
    axes = figure.subplots(2, 3)
    for axis, (job, runs) in zip(axes[0], races.items()):
        for row, (client, own) in enumerate(reversed(runs.items())):
            rates = [run.rate for run in own]
            axis.barh(row, statistics.median(rates), color="C1" if client == KIT else "C0")
            axis.plot(rates, [row] * len(rates), "k.", markersize=4)
        axis.set_yticks(range(len(runs)), list(reversed(runs)))
        axis.set_title(f"{job}: messages/s")
    for job, run in loads.items():
        moved = [(seconds, memory) for seconds, done, _, memory in run.samples if done]
        label = f"{job}: {run.samples[-1][1]:,} messages"
        axes[1][0].plot(
            *zip(*((100 * s / moved[-1][0], memory) for s, memory in moved)), label=label
        )
    axes[1][0].set(title="resident MB over time", xlabel="% of the run", ylim=(0, 100))
    axes[1][0].legend()
    latencies = {client: own[2] for (job, client), own in idle.items() if job == "streaming"}
    for row, own in enumerate(reversed(latencies.values())):
        axes[1][1].plot([1000 * s for s in own], [row] * len(own), ".", alpha=0.3)
        axes[1][1].plot(1000 * statistics.median(own), row, "k|", markersize=20)
    axes[1][1].set_yticks(range(len(latencies)), list(reversed(latencies)))
    axes[1][1].set(title="streaming: sent to handled, ms", xlim=(0, None))
    for row, own in enumerate(stopped.values()):
        axes[1][2].plot(own, [row] * len(own), "o", alpha=0.5)
    axes[1][2].set_yticks(range(len(stopped)), list(stopped))
    axes[1][2].set(title="SIGTERM while idle to exit, s", xlim=(0, None), ylim=(-0.5, 1.5))
    figure.savefig(path, dpi=100)


def measure(bootstrap, clients, size):
    """Run everything; return (races, loads, idle, stopped, recovered)."""
    topics = {job: SignUps(bootstrap) for job in JOBS}
    for job, count in size.load.items():
        report(f"filling: {count:,} messages for {job}")
        fill(topics[job], count)
    races = {job: race(clients, job, topics[job], size) for job in JOBS}
    loads = {}
    for job, count in size.load.items():
        report(f"load: {count:,} messages through {JOBS[job]}")
        loads[job] = watch(KIT, job, topics[job], count)
    kinds = [(job, client) for job in size.load for client in clients]
    idle = {(job, client): rest(client, job, bootstrap, size) for job, client in kinds}
    stopped = {job: stops(job, bootstrap, size) for job in size.load}
    for signups in topics.values():
        signups.close()
    return races, loads, idle, stopped, recover(clients, size)


def summary(races, loads, idle, stopped, recovered):
    """Return all tables."""
    text = ""
    for job, runs in races.items():
        text += f"\n## {job}\n\n{throughput_table(runs)}"
    rows = [
        [JOBS[job], f"{run.samples[-1][1]:,}", f"{run.rate:,.0f}", f"{run.peak:.0f}"]
        for job, run in loads.items()
    ]
    text += f"\n## Load\n\n{table(['', 'messages', 'messages/s', 'peak MB'], rows)}"
    rows = [
        [f"{job}, {client}", f"{cpu:.1f}", f"{memory:.0f}", *milliseconds(latencies)]
        for (job, client), (cpu, memory, latencies) in idle.items()
    ]
    head = ["", "CPU % of a core", "MB", "sent to handled, ms: median", "worst"]
    text += f"\n## Idle\n\n{table(head, rows)}"
    rows = [[JOBS[job], len(own), *milliseconds(own)] for job, own in stopped.items()]
    text += f"\n## Stop while idle, ms\n\n{table(['', 'stops', 'median', 'worst'], rows)}"
    rows = [[client, len(own), *milliseconds(own)] for client, own in recovered.items()]
    text += "\n## From a broker's return to the next handled message, ms\n"
    return f"{text}\n{table(['streaming', 'outages', 'median', 'worst'], rows)}"


def own_environment(directory):
    """Go on in `directory`/venv, with everything installed."""
    home = directory / "venv"
    python = home / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    if pathlib.Path(sys.prefix).resolve() == home:
        return
    if not python.exists():
        report(f"making {home}")
        venv.create(home, with_pip=True)
    pip = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, "-r", HERE / "bench-requirements.txt"], check=True)
    os.execv(python, [str(python), str(pathlib.Path(__file__).resolve()), *sys.argv[1:]])


def main():
    """Measure, print the tables, write them and a picture."""
    parser = argparse.ArgumentParser(description="Measure the three scripts on a real broker.")
    parser.add_argument("--peers", action="store_true", help=f"measure also {', '.join(PEERS)}")
    parser.add_argument("--quick", action="store_true", help="a few minutes, rougher figures")
    parser.add_argument("--out", type=pathlib.Path, default=HERE.parent / ".bench", help="folder")
    args = parser.parse_args()
    args.out = args.out.resolve()
    own_environment(args.out)

    bootstrap, broker = os.environ.get("KAFKA_BOOTSTRAP_SERVERS"), None
    data = tempfile.mkdtemp(prefix="kafka-bench-")
    try:
        if not bootstrap:
            broker = Broker(data)
            broker.start()
            bootstrap = broker.address
        load = os.getloadavg()[0]
        results = measure(bootstrap, [KIT, BARE, *(PEERS if args.peers else ())], Size(args.quick))
    finally:
        if broker:
            broker.kill()
        shutil.rmtree(data)
    head = f"{os.cpu_count()} cores (load {load:.1f} before), Python {platform.python_version()}"
    text = f"# Benchmark\n\n{time.strftime('%F')}, {platform.system()}, {head}\n{summary(*results)}"
    (args.out / "bench.md").write_text(text)
    draw(args.out / "bench.png", *results)
    print(f"{text}\nwritten to {args.out}: bench.md, bench.png")


if __name__ == "__main__":
    main()
