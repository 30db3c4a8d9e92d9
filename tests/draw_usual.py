"""Draws the README's picture: Ctrl+C in the usual way, and here, on a real broker.

    python tests/draw_usual.py

Both workers get the signal in the middle of user3. What they printed, and what the next
worker printed then, is drawn side by side.
"""

import html
import pathlib
import signal
import tempfile

from broker import Broker  # lets us import from support/, too
from people import users
from script import ROOT, STREAMING, Script
from signups import SignUps

USUAL = "tests/usual/no_handler.py"
COLUMN, LINE = 530, 22  # pixels
PLAIN, DIM, BAD, GOOD = "#d6deeb", "#7f8c98", "#ff6b6b", "#7bd88f"
TEXT = '<text x="{}" y="{}" fill="{}">{}</text>'


def play(script, bootstrap):
    """Return the lines of a worker that is stopped, and those of the next one."""
    signups = SignUps(bootstrap)
    signups.publish(*users(*range(6)))
    flags = [*signups.place(script), "--work-seconds", 0.5]
    first = Script(script, *flags, bootstrap=bootstrap)
    first.wait_for(f"sending email to {users(3)[0]}")
    before = len(first.out)
    first.send(signal.SIGINT).ended()
    following = Script(script, *flags, bootstrap=bootstrap)
    following.wait_for("sending email")
    following.kill()
    return first.out[before - 2 : before], first.out[before:], following.begun[0]


def pane(title, script, lines, verdict, color):
    """Return (text, color) of each line of a pane."""
    last, after, begun = lines
    command = f"$ python {pathlib.Path(script).name}"
    return [
        (title, color),
        ("", PLAIN),
        (command, DIM),
        ("...", DIM),
        *[(line.rstrip(), PLAIN) for line in last],
        *[(line.rstrip(), PLAIN) for line in [f"^C{after[0]}", *after[1:]]],
        ("", PLAIN),
        (command, DIM),
        ("...", DIM),
        (f"sending email to {begun}", color),
        (verdict, color),
    ]


def draw(panes):
    """Draw the panes beside each other into .github/."""
    texts = [
        TEXT.format(20 + COLUMN * x, 34 + LINE * y, color, html.escape(text))
        for x, lines in enumerate(panes)
        for y, (text, color) in enumerate(lines)
    ]
    width, height = COLUMN * 2, LINE * max(map(len, panes)) + 32
    style = 'font-family="monospace" font-size="13" xml:space="preserve"'
    svg = f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}"'
    box = f'<rect width="{width}" height="{height}" rx="8" fill="#011627"/>'
    lines = [f"{svg} {style}>", box, *texts, "</svg>"]
    file = ROOT / ".github" / "ctrl-c.svg"
    file.write_text("\n".join(lines) + "\n", encoding="utf-8")


with tempfile.TemporaryDirectory() as directory:
    broker = Broker(directory)
    broker.start()
    try:
        usual, ours = [play(script, broker.address) for script in (USUAL, STREAMING)]
    finally:
        broker.kill()
draw(
    [
        pane("the usual way", USUAL, usual, "a second email", BAD),
        pane("this kit", STREAMING, ours, "the next user", GOOD),
    ]
)
