"""Measures and draws what batches are worth: rows per second against the size of a batch.

    python tests/draw_batches.py         after: pip install chdb matplotlib

The insert is set_status() of the README's "Put your own work in", on ClickHouse's engine.
"""

import os
import statistics
import tempfile
import time

from kit import ROOT, users
from matplotlib import pyplot
from readme import OWN_WORK, blocks

SIZES = [1, 10, 100, 1_000, 10_000]
SECONDS, ROUNDS = 0.5, 9
THEMES = {"light": "default", "dark": "dark_background"}


def measure(set_status, size):
    """Return the rows per second of batches of this size, for SECONDS."""
    batch, rows, started_at = users(*range(size)), 0, time.monotonic()
    while (elapsed := time.monotonic() - started_at) < SECONDS:
        set_status(batch, "Waiting Confirmation")
        rows += size
    return rows / elapsed


def draw(rates, theme):
    """Draw the rates into .github/."""
    with pyplot.style.context(THEMES[theme]):
        pyplot.rcParams.update({"font.size": 11, "svg.fonttype": "none", "svg.hashsalt": "batches"})
        figure, axes = pyplot.subplots(figsize=(7, 3.2), layout="constrained")
        axes.loglog(SIZES, rates, marker="o", color="tab:orange")
        for size, rate in zip(SIZES, rates):
            axes.annotate(
                f"{rate:,.0f}", (size, rate), (0, 9), textcoords="offset points", ha="center"
            )
        axes.set(
            xlabel="rows in a batch", ylabel="rows per second", ylim=(rates[0] / 2, rates[-1] * 4)
        )
        axes.set_xticks(SIZES, [f"{size:,}" for size in SIZES])
        axes.spines[["top", "right"]].set_visible(False)
        file = ROOT / ".github" / f"batches-{theme}.svg"
        figure.savefig(file, transparent=True, metadata={"Date": None})
        pyplot.close(figure)


def main():
    """Measure all sizes in turns, draw the medians."""
    with tempfile.TemporaryDirectory() as directory:
        os.environ["DATABASE"] = directory
        names = {"os": os}
        exec(blocks("python", OWN_WORK)[1], names)
        rounds = [[measure(names["set_status"], size) for size in SIZES] for _ in range(ROUNDS)]
        names["database"].close()  # it still writes to the directory
    rates = [statistics.median(rates) for rates in zip(*rounds)]
    for size, rate in zip(SIZES, rates):
        print(f"{size:>6} rows in a batch: {rate:>9,.0f} rows per second")
    for theme in THEMES:
        draw(rates, theme)


if __name__ == "__main__":
    main()
