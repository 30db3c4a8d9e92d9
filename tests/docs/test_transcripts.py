"""What README.md shows of terminals is played, line by line."""

import html
import re
import shutil
import subprocess

import pytest
from broker import free_port
from readme import RECORDED, STEPS, WAYS, blocks, scenes, source
from script import ROOT, environment
from terminal import ELISION, KEYS, PATH, PROMPT, Terminal, pattern, shape

BROKER = "tests/broker.py"
SLOWLY = 20  # seconds: more than an interval, a session, or the users that are shown


class Desk:
    """A copy of the repository, made ready by the README's own commands.

    The reader with Docker gets a `broker`, and reads slowly. The other starts his own.
    """

    def __init__(self, directory, broker):
        self.directory, self.broker = directory / "copy", broker
        self.port = broker.port if broker else free_port()
        self.terminals = {}
        self.env = {
            **environment(f"localhost:{self.port}"),
            "PYTHONPATH": "",  # the copy has to do without what is here
            "PATH": PATH,
            "TMPDIR": str(directory),
            "VIRTUAL_ENV_DISABLE_PROMPT": "1",
        }
        ignored = shutil.ignore_patterns(".*", "__pycache__")
        shutil.copytree(ROOT, self.directory, ignore=ignored)
        way = WAYS["With Docker" if broker else "Without Docker"]
        *commands, start = blocks("sh", way)[0].splitlines()
        options = {"cwd": self.directory, "env": {**self.env, "PIP_QUIET": "1"}}
        subprocess.run(["bash", "-ec", "\n".join(commands)], check=True, **options)
        if broker:
            assert start.startswith("docker compose up")
        else:
            self.play("Terminal 1", f"$ {start}\n" + blocks("text", way)[0])

    def play(self, name, transcript):
        """Play a transcript in the terminal of that name."""
        transcript = transcript.replace(BROKER, f"{BROKER} --port {self.port}")
        transcript = transcript.replace("localhost:9092", f"localhost:{self.port}")
        if name not in self.terminals:
            self.terminals[name] = Terminal(self.directory, self.env)
            self.terminals[name].play("$ source .venv/bin/activate")
        self.terminals[name].play(transcript, pause=SLOWLY if self.broker else 0)


@pytest.fixture(params=["with Docker, at a reader's pace", "without Docker, at once"])
def desk(tmp_path, request):
    """The desk of a reader who has just what the README lets him install."""
    has_docker = request.param.startswith("with Docker")
    broker = request.getfixturevalue("own_broker") if has_docker else None
    desk = Desk(tmp_path, broker)
    yield desk
    for terminal in reversed([*desk.terminals.values()]):  # the broker's is the first
        terminal.close()


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_transcripts_are_what_the_terminals_show(desk):
    """All of them, line by line. What `...` stands for must be shown elsewhere."""
    for name, transcript in scenes(STEPS):
        desk.play(name, transcript)
    if not desk.broker:
        desk.terminals["Terminal 1"].shell.sendintr()
    for terminal in desk.terminals.values():
        terminal.expect(PROMPT)
    lines = [line for _, text in scenes(STEPS) for line in text.splitlines()]
    shown = [pattern(shape(KEYS.sub("", line))) for line in lines if line != ELISION]
    skipped = [s for terminal in desk.terminals.values() for s in terminal.skipped]
    unknown = [s for s in skipped if not any(re.fullmatch(p, shape(s)) for p in shown)]
    assert unknown == []


def test_the_picture_shows_the_transcript():
    """If not, run tests/draw_usual.py again."""
    picture = html.unescape(source(".github/ctrl-c.svg"))
    lines = [KEYS.sub("", line) for line in RECORDED.splitlines()[-4:]]
    assert [line for line in lines if line not in picture] == []
