"""The README cannot rot: what it shows is what the scripts say, and what it names is there."""

import itertools
import json
import re
import shutil
import signal
import subprocess
import sys
import textwrap

import pytest
import yaml
from kit import BATCH, PRODUCER, ROOT, STREAMING, Script

README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = [
    (language, textwrap.dedent(text))
    for language, text in re.findall(r"^ *```(\w+)\n(.*?)^ *```$", README, re.DOTALL | re.MULTILINE)
]
MERMAID = """
import { JSDOM } from "jsdom";
const { window } = new JSDOM("");
Object.assign(globalThis, { window, document: window.document });
const { default: mermaid } = await import("mermaid");
for (const text of JSON.parse(process.argv[2])) await mermaid.parse(text);
"""


def blocks(language):
    found = [text for its_language, text in BLOCKS if its_language == language]
    assert found, f"no {language} in the README"
    return found


def transcript(command):
    """Return the lines that the README shows below `$ command`; ... stands for any lines."""
    [text] = [t for t in blocks("console") if t.splitlines()[0] == f"$ {command}"]
    return [re.sub(r"(\^C)+", "", line) for line in text.splitlines()[1:]]


def assert_shown(command, printed):
    """Check that `printed` is what the README shows, with some lines in place of each '...'."""
    shown = transcript(command)
    parts = [r"(?:.*\n)+?" if line == "..." else re.escape(line) + "\n" for line in shown]
    assert re.fullmatch("".join(parts), "".join(printed)), f"{command}: {printed} is not {shown}"


def test_the_story_is_what_happens(own_broker):
    """Steps 2 to 4, word for word, on a new broker."""

    def start(script):
        return Script(script, bootstrap=own_broker.address)

    producer = start(PRODUCER)
    assert producer.ended() == 0
    assert_shown("python producer.py", producer.out)
    streaming = start(STREAMING)
    streaming.wait_for("sending email to user2@gmail.com")
    assert streaming.send(*[signal.SIGINT] * 3).ended() == 0
    assert_shown("python streaming_worker.py", streaming.out)
    batch = start(BATCH)
    batch.wait_for("received a message", times=7)
    assert batch.send(signal.SIGINT).ended() == 0
    assert_shown("python batch_worker.py", batch.out)


def test_the_broker_says_what_is_shown(own_broker):
    shown = transcript("python tests/broker.py")
    source = (ROOT / "tests/broker.py").read_text(encoding="utf-8")
    version = re.search('^VERSION = "(.*)"', source, re.MULTILINE)[1]
    assert shown[0] == f"starting Apache Kafka {version}"
    assert f"Apache Kafka {version} is ready at localhost:9092: Ctrl+C stops it" == shown[1]


@pytest.mark.parametrize("text", [text for text in blocks("python") if text[0] == "#"])
def test_quoted_lines_are_in_the_script(text):
    comment, _, quoted = text.partition("\n")
    script = (ROOT / comment.strip("# ")).read_text(encoding="utf-8")
    indentations = {len(line) - len(line.lstrip()) for line in script.splitlines()}
    assert any(textwrap.indent(quoted, " " * indent) in script for indent in indentations)


@pytest.mark.parametrize("script", [PRODUCER, STREAMING, BATCH])
def test_flags_and_environment_are_those_of_the_help(script):
    kinds = {"all", "producer"} if script == PRODUCER else {"all", "both workers"}
    kinds |= {"batch worker"} if script == BATCH else set()
    row = re.compile(r"^\| ([a-z ]+) \| `(--.+?)` \| `(.+?)` \|", re.MULTILINE)
    told = {(flag, default) for kind, flag, default in row.findall(README) if kind in kinds}
    shown = Script(script, "--help", bootstrap="", env={"COLUMNS": "200"})
    assert shown.ended() == 0
    text = "".join(shown.out)
    assert told == set(re.findall(r"(--[a-z-]+) [A-Z][^-]*?\(default: (.+?)\)", text))
    variables = set(re.findall(r"^\| `(KAFKA_\w+)`", README, re.MULTILINE))
    assert variables == set(re.findall(r"KAFKA_\w+", text))


def test_links_lead_somewhere():
    headings = re.findall(r"^#+ (.*)", README, re.MULTILINE)
    anchors = {re.sub(r"[^\w\- ]", "", heading).lower().replace(" ", "-") for heading in headings}
    links = re.findall(r"\[([^\]]*)\]\(([^)]+)\)|<img [^>]*src=\"()([^\"]+)", README)
    for text, target in [(text or "", target or image) for text, target, _, image in links]:
        if target.startswith("#"):
            assert target[1:] in anchors, target
        elif not target.startswith("https://"):
            assert (ROOT / target).exists(), target
            if text.startswith("test_"):
                assert f"def {text}(" in (ROOT / target).read_text(encoding="utf-8"), text


def commands():
    """Return every command of the README's sh blocks and inline code that somebody may type."""
    lines = itertools.chain.from_iterable(text.splitlines() for text in blocks("sh"))
    spans = re.findall(r"`((?:bash|python|docker|pip|source) [^`]+)`", README)
    return sorted({re.sub(r"\s+#.*", "", line) for line in [*lines, *spans]})


@pytest.mark.parametrize("command", commands())
def test_commands_name_what_is_there(command):
    words = command.replace("'", "").split()
    for word in words:
        if re.search(r"\.(py|sh|txt|yml)$", word):
            assert (ROOT / word).exists(), word
    if words[:2] == ["docker", "compose"]:
        services = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
        known = {
            profile for service in services.values() for profile in service.get("profiles", [])
        }
        profiles = [words[i + 1] for i, word in enumerate(words) if word == "--profile"]
        named = [
            word.partition("=")[0] for word in words if "-worker" in word or word == "producer"
        ]
        assert {*profiles} <= {*known, "*"} and {*named} <= {*services}
    elif words[:1] == ["python"] and words[1].endswith(".py"):
        text = subprocess.run(
            [sys.executable, words[1], "--help"], cwd=ROOT, capture_output=True, text=True
        ).stdout
        assert [word for word in words if word.startswith("--") and word not in text] == []


@pytest.mark.slow
def test_diagrams_are_mermaid(tmp_path):
    npm, node = shutil.which("npm"), shutil.which("node")
    if not (npm and node):
        pytest.skip("needs node and npm")
    install = [npm, "install", "--silent", "--prefix", tmp_path, "mermaid@11", "jsdom@26"]
    subprocess.run(install, check=True, timeout=150)
    (tmp_path / "parse.mjs").write_text(MERMAID)
    diagrams = json.dumps(blocks("mermaid"))
    parsed = subprocess.run(
        [node, "parse.mjs", diagrams], cwd=tmp_path, capture_output=True, text=True, timeout=40
    )
    assert parsed.returncode == 0, parsed.stderr
