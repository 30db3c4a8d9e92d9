"""Measures and draws what batches are worth: rows per second for each batch size.

    pip install chdb matplotlib
    python tests/pictures/draw_batches.py

The insert is the README's own process_messages(), on ClickHouse's engine.
"""

import os
import pathlib
import statistics
import sys
import tempfile
import time

from matplotlib import pyplot

sys.path.append(str(pathlib.Path(__file__).parents[1] / "support"))
from people import users
from readme import snippet
from script import BATCH, ROOT

SIZES = [1, 10, 100, 1_000, 10_000]
SECONDS, ROUNDS = 0.5, 9
THEMES = {"light": "default", "dark": "dark_background"}
STYLE = {"font.size": 11, "svg.fonttype": "none", "svg.hashsalt": "batches"}


def measure(process_messages, size):
    """Return the rows per second of batches of this size."""
    batch, rows, started_at = users(*range(size)), 0, time.monotonic()
    while (elapsed := time.monotonic() - started_at) < SECONDS:
        process_messages(batch, 0)
        rows += size
    return rows / elapsed


def draw(rates, theme):
    """Draw the rates into .github/."""
    with pyplot.style.context([THEMES[theme], STYLE]):
        figure, axes = pyplot.subplots(figsize=(7, 3.2), layout="constrained")
        axes.loglog(SIZES, rates, marker="o", color="tab:orange")
        above = {"xytext": (0, 9), "textcoords": "offset points", "ha": "center"}
        for size, rate in zip(SIZES, rates):
            axes.annotate(f"{rate:,.0f}", (size, rate), **above)
        axes.set(xlabel="rows in a batch", ylabel="rows per second")
        axes.set_ylim(rates[0] / 2, rates[-1] * 4)
        axes.set_xticks(SIZES, [f"{size:,}" for size in SIZES])
        axes.spines[["top", "right"]].set_visible(False)
        file = ROOT / ".github" / f"batches-{theme}.svg"
        figure.savefig(file, transparent=True, metadata={"Date": None})
        pyplot.close(figure)


def main():
    """Measure all sizes in turns. Draw the medians."""
    with tempfile.TemporaryDirectory() as directory:
        os.environ["DATABASE"] = directory
        names = {"os": os}
        exec(snippet(BATCH), names)
        insert = names["process_messages"]
        rounds = [[measure(insert, size) for size in SIZES] for _ in range(ROUNDS)]
        names["database"].close()  # it still writes to the directory
    rates = [statistics.median(rates) for rates in zip(*rounds)]
    for size, rate in zip(SIZES, rates):
        print(f"{size:>6} rows in a batch: {rate:>9,.0f} rows per second")
    for theme in THEMES:
        draw(rates, theme)


if __name__ == "__main__":
    main()
