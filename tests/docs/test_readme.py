"""README.md cannot rot: what it quotes, names and links is there."""

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
from jars import KEPT, VERSION
from readme import FENCE, PROSE, RUN_ELSEWHERE, SECTIONS, blocks, quotes, rows, source
from script import ROOT, SCRIPTS, WORKERS
from slow.test_every_line import PLACES
from terminal import ELISION

REFERENCE = "Flags, environment, exit status"
STEPS = "".join(text for name, text in SECTIONS.items() if name.startswith("Step"))
LINK = re.compile(r"""(?<=\]\()[^) ]+|(?<=src=")[^"]+|(?<=srcset=")[^"]+""")
TOOLS = ["tests/broker.py", "tests/lag.py"]
SEVERAL = {"all": SCRIPTS, "both workers": WORKERS}


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
    texts = re.findall(r'"(\w[^"\n]* [^"\n]*)"', source(script))
    return [re.sub(r"\\{.*?\\}|%[ds]", ".+", re.escape(text)) for text in texts]


@pytest.mark.parametrize(
    "quote",
    [q for _, seen, _ in rows("What if ...?") for q in quotes(seen) if " " in q],
)
def test_what_you_see_is_something_that_a_script_prints(quote):
    """The text around the values, and each word that stands for a value."""
    printed = [message for script in SCRIPTS for message in messages(script)]
    assert any(re.fullmatch(m, quote) or re.escape(quote) in m for m in printed)
    everything = "".join(map(source, SCRIPTS))
    assert {w for w in re.findall("[a-z]+", quote) if w not in everything} == set()


@pytest.mark.parametrize("row", rows("What if ...?"), ids=lambda row: row[0][:40])
def test_each_row_of_the_table_links_to_a_test(row):
    path, name = re.fullmatch(r'\[.+\]\((\S+) "(test_\w+)"\)', row[0]).groups()
    assert f"\ndef {name}(" in source(path)


def flags(script):
    """Return {flag: default} from the source of a script."""
    flag = r'add_argument\(\s*"(.+?)"(?:[^()]* default="?([^",]+))?'
    return dict(re.findall(flag, source(script)))


def test_the_table_of_flags_is_what_the_scripts_take():
    described = {script: {} for script in SCRIPTS}
    for who, flag, default, _ in rows(REFERENCE):
        for script in SEVERAL.get(who, [f"{who.replace(' ', '_')}.py"]):
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


@pytest.mark.parametrize("target", sorted(set(LINK.findall(PROSE))))
def test_a_link_leads_somewhere(target):
    names = [re.sub(r"[^\w -]", "", heading.lower()) for heading in SECTIONS]
    anchors = ["#" + name.replace(" ", "-") for name in names]
    is_elsewhere = target.startswith("https://")
    assert target in anchors or is_elsewhere or (ROOT / target).exists()


def test_the_places_of_a_signal_are_those_of_the_sweep():
    assert f"more than {sum(PLACES.values()):,} places" in PROSE


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_measured_rows_are_those_of_the_picture(theme):
    named = set(re.findall(r"([\d,]+) (?:rows a second|in batches of)", PROSE))
    assert len(named) == 3
    picture = source(f".github/batches-{theme}.svg")
    assert [number for number in named if number not in picture] == []


FILES = {path.relative_to(ROOT).as_posix() for path in ROOT.glob("tests/*")}
REQUIRED = source("tests/requirements.txt") + source("tests/requirements-slow.txt")
PACKAGES = re.findall(r"^([\w-]+)>=", REQUIRED, re.MULTILINE)
EXTRAS = importlib.metadata.metadata("kafka-python").get_all("Provides-Extra")
VENV = re.search(r"python3 -m venv (\S+)", source("tests/setup.sh"))[1]
COMPOSE = source("docker-compose.yml")
SERVICES = yaml.safe_load(COMPOSE)["services"]
PROFILES = [f"--profile={name}" for name in re.findall(r"profiles: \[(.+)\]", COMPOSE)]
COMMANDS = {  # what may follow them
    "docker compose": {
        *["up", "down", "run", "exec", "--profile=*", *PROFILES],
        *["-d", "--wait", "-v", "--rm", "--rmi", "all", "--scale", *SERVICES],
    },
    "python3 -m venv": {VENV},
    "source": {f"{VENV}/bin/activate"},
    "pip install -r": {"requirements.txt", *FILES},
    "pip install": {*PACKAGES, *[f"kafka-python[{extra}]" for extra in EXTRAS]},
    "python -m aiosmtpd": {"-n", "-l"},
    **{f"python {script}": {*flags(script)} for script in [*SCRIPTS, *TOOLS]},
    "export": {*quotes(SECTIONS[REFERENCE])},
    "bash": FILES,
    "rm -r": {VENV, f"~/.cache/{KEPT.name.replace(VERSION, '*')}"},
}


def commands():
    """Return every command of the README that is in no transcript."""
    programs = {command.split()[0] for command in COMMANDS}
    lines = [line for block in blocks("sh") for line in block.splitlines()]
    return lines + [q for q in quotes(PROSE) if q.split(" ")[0] in programs]


@pytest.mark.parametrize("line", commands())
def test_a_command_names_what_there_is(line):
    """Whatever the value of a script's flag is, or what a container has to do."""
    line = re.sub(" (rpk|sh -c) .*", "", line).replace("--profile ", "--profile=")
    command = next((c for c in COMMANDS if f"{line} ".startswith(f"{c} ")), None)
    assert command, "no test knows this command"
    words = shlex.split(line[len(command) :], comments=True)
    if command.startswith("python "):
        words = [word for word in words if word.startswith("-")]
    unknown = [w for w in words if not {w, w.partition("=")[0]} & COMMANDS[command]]
    assert unknown == []
