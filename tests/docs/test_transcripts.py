"""What README.md shows of terminals is played, line by line, and so are its errors."""

import html
import os
import pathlib
import re
import socket
import sys

import pytest
from broker import free_port
from readme import quotes, rows, scenes, source
from script import ROOT, STREAMING, Script
from terminal import ELISION, KEYS, OF_KAFKA_PYTHON, PROMPT, Terminal, pattern, shape

BROKER = "tests/broker.py"


@pytest.fixture
def play(tmp_path):
    """Play a transcript in the terminal of that name. All are closed in the end."""
    terminals, port = {}, free_port()
    path = f"{pathlib.Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    env = {n: v for n, v in os.environ.items() if n != "PYTHONUNBUFFERED"}
    env.update(
        PATH=path, TMPDIR=str(tmp_path), KAFKA_BOOTSTRAP_SERVERS=f"localhost:{port}"
    )

    def play(name, transcript):
        if name not in terminals:
            terminals[name] = Terminal(ROOT, env)
        transcript = transcript.replace(BROKER, f"{BROKER} --port {port}")
        terminals[name].play(transcript.replace("localhost:9092", f"localhost:{port}"))
        return terminals[name]

    yield play
    for terminal in reversed(list(terminals.values())):
        terminal.close()


@pytest.mark.slow
def test_the_transcripts_are_what_the_terminals_show(play):
    """All of them, line by line. What `...` stands for must be shown elsewhere."""
    terminals = {name: play(name, transcript) for name, transcript in scenes()}
    terminals["Terminal 1"].shell.sendintr()
    for name, terminal in terminals.items():
        while OF_KAFKA_PYTHON.match(line := terminal.read()):
            pass
        assert line == PROMPT, name
    lines = [line for _, text in scenes() for line in text.splitlines()]
    shown = {shape(KEYS.sub("", line)) for line in lines}
    skipped = [line for terminal in terminals.values() for line in terminal.skipped]
    assert [line for line in skipped if shape(line) not in shown] == []


@pytest.mark.parametrize(
    ("name", "indices"), [("ctrl-c", [0, 1]), ("last-flush", [3, 4])]
)
def test_a_recording_shows_the_transcripts(name, indices):
    """If not, run tests/pictures/record.py again. Long lines are wrapped there."""
    picture = html.unescape(re.sub("<[^>]*>", "\n", source(f".github/{name}.svg")))
    third = [text for terminal, text in scenes() if terminal == "Terminal 3"]
    lines = "".join(third[index] for index in indices).splitlines()
    lines = [KEYS.sub("", line) for line in lines if ELISION not in line]
    assert [line for line in lines if line[:70] not in picture] == []


@pytest.fixture
def failures(start, signups, nowhere, own_broker, secured):
    """What the scripts say about mistakes of the first day, on standard error."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        scripts = [Script(BROKER, "--port", port, bootstrap=nowhere)]
        scripts[0].ended()
    own_broker.kill()
    own_broker.properties["offsets.topic.replication.factor"] = 3
    own_broker.start()
    scripts.append(start(STREAMING, bootstrap=own_broker.address))
    scripts[-1].ended()
    own_broker.kill()
    own_broker.properties["advertised.listeners"] = "PLAINTEXT://redpanda:29092"
    own_broker.start()
    stranger = {**secured, "KAFKA_SASL_PLAIN_PASSWORD": "wrong"}
    scripts += [
        start(STREAMING, bootstrap=nowhere),
        start(STREAMING, bootstrap=own_broker.address),
        start(STREAMING, bootstrap=stranger["KAFKA_BOOTSTRAP_SERVERS"], env=stranger),
    ]
    assert [script.ended() for script in scripts] == [1] * len(scripts)
    return [line.strip() for script in scripts for line in script.err]


@pytest.mark.slow
def test_troubleshooting_shows_what_the_scripts_say(failures):
    """Ports and the numbers of the operating system's errors may differ."""
    shown = [quote for seen, *_ in rows("Troubleshooting") for quote in quotes(seen)]
    shown = [quote for quote in shown if quote.startswith("error: ")]
    assert len(shown) == 5
    for quote in shown:
        varies = r"(?<=localhost:)\d+|(?<=port )\d+|(?<=error )\d+"
        line = pattern(re.sub(varies, ELISION, quote))
        assert any(re.fullmatch(line, said) for said in failures), quote
