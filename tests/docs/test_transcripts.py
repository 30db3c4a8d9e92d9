"""What README.md shows of terminals is played, line by line."""

import html
import os
import pathlib
import re
import shutil
import subprocess
import sys

import pytest
from broker import free_port
from readme import FENCE, SECTIONS, blocks, quotes, scenes, source
from script import ROOT
from terminal import ELISION, KEYS, OF_KAFKA_PYTHON, PROMPT, Terminal, pattern, shape

BROKER = "tests/broker.py"
SLOWLY = 20  # seconds: more than an interval, a session, or the users that are shown


class Desk:
    """A copy of the repository, made ready by the README's own commands.

    The reader with Docker gets a `broker`. If it is None, the other starts one.
    """

    def __init__(self, directory, broker):
        self.directory, self.broker = directory / "copy", broker
        self.port = broker.port if broker else free_port()
        self.terminals = {}
        path = f"{pathlib.Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        ours = {"PYTHONUNBUFFERED", "KAFKA_VERSION"}
        self.env = {
            **{name: v for name, v in os.environ.items() if name not in ours},
            "PATH": path,
            "TMPDIR": str(directory),
            "KAFKA_BOOTSTRAP_SERVERS": f"localhost:{self.port}",
            "VIRTUAL_ENV_DISABLE_PROMPT": "1",
        }
        ignored = shutil.ignore_patterns(".*", "__pycache__")
        shutil.copytree(ROOT, self.directory, ignore=ignored)
        [commands] = blocks("sh", SECTIONS["Set-up"])
        commands = re.sub("^docker .*", "", commands, flags=re.MULTILINE)
        if not broker:
            said = quotes(FENCE.sub("", SECTIONS["Set-up"]))
            commands += "\n".join(quote for quote in said if quote.startswith("pip "))
        options = {"cwd": self.directory, "env": {**self.env, "PIP_QUIET": "1"}}
        subprocess.run(["bash", "-ec", commands], check=True, **options)

    def play(self, name, transcript, pause):
        """Play a transcript in the terminal of that name. Return the terminal."""
        transcript = transcript.replace(BROKER, f"{BROKER} --port {self.port}")
        transcript = transcript.replace("localhost:9092", f"localhost:{self.port}")
        if name not in self.terminals:
            self.terminals[name] = Terminal(self.directory, self.env)
            self.terminals[name].play("$ source .venv/bin/activate")
        self.terminals[name].play(transcript, pause=pause)
        return self.terminals[name]

    def leave(self):
        """Close all terminals, the broker's last."""
        for terminal in reversed(list(self.terminals.values())):
            terminal.close()


@pytest.fixture(params=["with Docker", "without Docker"])
def desk(tmp_path, request):
    """The desk of a reader who has just what the README lets him install."""
    has_docker = request.param == "with Docker"
    broker = request.getfixturevalue("own_broker") if has_docker else None
    desk = Desk(tmp_path, broker)
    yield desk
    desk.leave()


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    ("desk", "pause"),
    [("with Docker", SLOWLY), ("without Docker", 0)],
    indirect=["desk"],
    ids=["with Docker, at a reader's pace", "without Docker, at once"],
)
def test_the_transcripts_are_what_the_terminals_show(desk, pause):
    """All of them, line by line. What `...` stands for must be shown elsewhere."""
    for name, transcript in scenes():
        if not (desk.broker and BROKER in transcript):
            desk.play(name, transcript, pause)
    if not desk.broker:
        desk.terminals["Terminal 1"].shell.sendintr()
    for name, terminal in desk.terminals.items():
        while OF_KAFKA_PYTHON.match(line := terminal.read()):
            pass
        assert line == PROMPT, name
    lines = [line for _, text in scenes() for line in text.splitlines()]
    shown = [pattern(shape(KEYS.sub("", line))) for line in lines if line != ELISION]
    skipped = [s for terminal in desk.terminals.values() for s in terminal.skipped]
    unknown = [s for s in skipped if not any(re.fullmatch(p, shape(s)) for p in shown)]
    assert unknown == []


def test_the_recording_shows_the_transcript():
    """If not, run tests/pictures/record.py again. Long lines are wrapped there."""
    picture = html.unescape(re.sub("<[^>]*>", "\n", source(".github/ctrl-c.svg")))
    first = next(text for name, text in scenes() if name == "Terminal 3")
    lines = [KEYS.sub("", line) for line in first.splitlines() if ELISION not in line]
    assert [line for line in lines if line[:70] not in picture] == []
