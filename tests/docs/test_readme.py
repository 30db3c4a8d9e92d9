"""README.md cannot rot: what it quotes, names and links is there."""

import ast
import importlib
import importlib.metadata
import json
import os
import re
import shlex
import subprocess
import sys
import textwrap

import pytest
import yaml
from readme import (
    FENCE,
    PROSE,
    README,
    RUN_ELSEWHERE,
    SECTIONS,
    blocks,
    quotes,
    rows,
    source,
)
from script import BATCH, PRODUCER, ROOT, SCRIPTS, WORKERS
from slow.test_every_line import PLACES
from terminal import ELISION

REFERENCE = "Flags, environment, exit status"
STEPS = "".join(text for name, text in SECTIONS.items() if name.startswith("Step"))
LINK = re.compile(r"""(?<=\]\()[^) ]+|(?<=src=")[^"]+|(?<=srcset=")[^"]+""")
COMPOSE = yaml.safe_load(source("docker-compose.yml"))["services"]
WHO = {
    "all": SCRIPTS,
    "both workers": WORKERS,
    "batch worker": [BATCH],
    "producer": [PRODUCER],
}


@pytest.mark.parametrize(
    "quote", [code for code in blocks("python") if code not in RUN_ELSEWHERE]
)
def test_quoted_code_is_in_a_script(quote):
    everything = "\n".join(map(source, SCRIPTS))
    for part in re.split(rf"^ *{re.escape(ELISION)}\n", quote, flags=re.MULTILINE):
        code = textwrap.dedent(part)
        depths = [textwrap.indent(code, " " * depth) for depth in range(0, 17, 4)]
        assert any(f"\n{text}" in everything for text in depths), f"nowhere:\n{part}"


@pytest.mark.parametrize(
    "quote", [q for q in quotes(FENCE.sub("", STEPS)) if re.search(r"\(.*\)$|^\w+=", q)]
)
def test_quoted_calls_and_settings_are_in_a_script(quote):
    call = quote[:-1] if quote.endswith("()") else quote
    assert any(call in source(script) for script in SCRIPTS)


def messages(script):
    """Return a regular expression for each text that the script can print."""
    for node in ast.walk(ast.parse(source(script))):
        parts = node.values if isinstance(node, ast.JoinedStr) else [node]
        texts = [
            part.value if isinstance(part, ast.Constant) else None for part in parts
        ]
        words = " ".join(text for text in texts if isinstance(text, str)).split()
        if len(words) > 1 or words == ["partitions:"]:
            known = [None if text is None else re.escape(str(text)) for text in texts]
            yield re.sub("%[ds]", ".+", "".join(text or ".+" for text in known))


@pytest.mark.parametrize(
    "quote",
    [q for _, seen, _ in rows("What if ...?") for q in quotes(seen) if " " in q],
)
def test_what_you_see_is_something_that_a_script_prints(quote):
    """The text around the values, and each word that stands for a value."""
    printed = [message for script in SCRIPTS for message in messages(script)]
    texts = quote, quote.removeprefix("error: ")  # a script may put it before a text
    assert any(
        re.fullmatch(message, text) or re.escape(text) in message
        for message in printed
        for text in texts
    )
    everything = "".join(map(source, SCRIPTS))
    assert {w for w in re.findall("[a-z]+", quote) if w not in everything} == set()


@pytest.mark.parametrize("row", rows("What if ...?"), ids=lambda row: row[0][:40])
def test_each_row_of_the_table_links_to_a_test(row):
    path, name = re.fullmatch(r'\[.+\]\((\S+) "(test_\w+)"\)', row[0]).groups()
    assert f"\ndef {name}(" in source(path)


def flags(script):
    """Return {flag: default} from the source of a script."""
    found = {}
    for call in ast.walk(ast.parse(source(script))):
        if isinstance(call, ast.Call) and ast.unparse(call.func).endswith(
            "add_argument"
        ):
            defaults = [k.value for k in call.keywords if k.arg == "default"]
            default = [str(ast.literal_eval(value)) for value in defaults]
            found[ast.literal_eval(call.args[0])] = "".join(default)
    return found


def test_the_table_of_flags_is_what_the_scripts_take():
    described = {script: {} for script in SCRIPTS}
    for who, flag, default, _ in rows(REFERENCE):
        for script in WHO[who]:
            described[script][flag.strip("`")] = default.strip("`")
    assert described == {script: flags(script) for script in SCRIPTS}


def test_the_table_of_the_environment_is_what_the_scripts_read(any_script):
    """The names are kafka-python's own, with KAFKA_ before them. No other is read."""
    names = re.findall(r"KAFKA_\w+", SECTIONS[REFERENCE])
    others = ["KAFKA_PORT", *re.findall(r"KAFKA_[A-Z_]+", source(any_script))]
    code = "import json, {0}; print(json.dumps({0}.CLUSTER))".format(any_script[:-3])
    values = {name: name for name in names + others}
    environment = {**os.environ, "PYTHONPATH": str(ROOT), **values}
    command = [sys.executable, "-c", code]
    shown = subprocess.run(command, env=environment, capture_output=True, check=True)
    read = {n: v for n, v in json.loads(shown.stdout).items() if "KAFKA" in str(v)}
    assert read == {name[len("KAFKA_") :].lower(): name for name in names}


def slug(heading):
    """Return the anchor that a heading gets."""
    return re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-")


@pytest.mark.parametrize("target", sorted(set(LINK.findall(PROSE))))
def test_a_link_leads_somewhere(target):
    if target.startswith("#"):
        assert target[1:] in [slug(heading) for heading in SECTIONS]
    else:
        assert target.startswith("https://") or (ROOT / target).exists()


def test_the_places_of_a_signal_are_those_of_the_sweep():
    assert f"more than {sum(PLACES.values()):,} places" in README


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_measured_rows_are_those_of_the_picture(theme):
    named = set(re.findall(r"([\d,]+) (?:rows a second|in batches of)", PROSE))
    assert len(named) == 3
    picture = source(f".github/batches-{theme}.svg")
    assert [number for number in named if number not in picture] == []


def check_compose(*words):
    """Check a `docker compose` command against docker-compose.yml."""
    profiles = {p for service in COMPOSE.values() for p in service.get("profiles", "")}
    options = {"--profile": {"*", *profiles}, "--scale": COMPOSE, "--rmi": {"all"}}
    command, words = None, list(words)
    while words:
        word = words.pop(0)
        if word in options:
            assert words.pop(0).partition("=")[0] in options[word]
        elif command == "exec":
            assert word in COMPOSE and "rpk " in " ".join(words)
            return
        elif command and not word.startswith("-"):
            assert word in COMPOSE
        elif not command:
            command = word
    assert command in {"up", "run", "down"}


def check_python(script, *words):
    """Check that the script takes these flags, or that the module is there."""
    if script == "-m":
        assert importlib.import_module(words[0])
        return
    assert {word for word in words if word.startswith("-")} <= {*flags(script)}


def check_pip(*words):
    """Check that the file, the package or the extra of kafka-python is there."""
    if words[0] == "-r":
        assert source(words[1])
    elif extra := re.fullmatch(r"kafka-python\[(\w+)\]", words[0]):
        known = importlib.metadata.metadata("kafka-python").get_all("Provides-Extra")
        assert extra[1] in known
    else:
        known = source("tests/requirements.txt") + source("tests/requirements-slow.txt")
        assert f"{words[0]}>=" in known


def check_export(*settings):
    """Check that the scripts read these variables."""
    assert {s.partition("=")[0] for s in settings} <= {*quotes(SECTIONS[REFERENCE])}


COMMANDS = {
    "docker compose": check_compose,
    "python3 -m venv": lambda path: source("tests/setup.sh").index(path),
    "python": check_python,
    "pip install": check_pip,
    "source .venv/bin/activate": lambda: README.index("python3 -m venv .venv\n"),
    "export": check_export,
    "bash": lambda script, *_: source(script),
    "rm -r .venv": lambda: source("tests/setup.sh").index("mkdir .venv"),
    "rm -r ~/.cache/apache-kafka-*": lambda: source("tests/support/jars.py").index(
        'CACHE / f"apache-kafka-'
    ),
}


def commands():
    """Return every command of the README that is in no transcript."""
    lines = [line for block in blocks("sh") for line in block.splitlines()]
    known = "|".join(map(re.escape, COMMANDS))
    return lines + [q for q in quotes(PROSE) if re.match(rf"({known}) ", q)]


@pytest.mark.parametrize("command", commands())
def test_a_command_is_one_that_works(command):
    words = shlex.split(command, comments=True)
    for start, check in COMMANDS.items():
        known = shlex.split(start)
        if words[: len(known)] == known:
            check(*words[len(known) :])
            return
    pytest.fail("no test knows this command")
