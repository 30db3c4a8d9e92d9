"""README.md cannot rot: what it quotes, names and links is there."""

import json
import os
import re
import subprocess
import sys
import textwrap

import pytest
from readme import FENCE, PROSE, README, SECTIONS, STEPS, blocks, quotes, source, tables
from script import ROOT, SCRIPTS, WORKERS
from slow.test_every_line import PLACES
from terminal import ELISION

REFERENCE = "Flags, environment, exit status"
LINK = re.compile(r"(?<=\]\()[^) ]+")
TOOLS = ["tests/broker.py", "tests/lag.py"]
[WHAT_IF] = tables("What if ...?")
SEVERAL = {"all": SCRIPTS, "both workers": WORKERS}


@pytest.mark.parametrize("quote", blocks("python", STEPS))
def test_quoted_code_is_in_a_script(quote):
    everything = "\n".join(map(source, SCRIPTS))
    for part in re.split(rf"^ *{re.escape(ELISION)}\n", quote, flags=re.MULTILINE):
        code = textwrap.dedent(part)
        depths = [textwrap.indent(code, " " * depth) for depth in range(0, 17, 4)]
        assert any(f"\n{text}" in everything for text in depths), f"nowhere:\n{part}"


def test_quoted_calls_and_settings_are_in_a_script():
    said = quotes(FENCE.sub("", STEPS))
    calls = [q.removesuffix("()") for q in said if re.search(r"\(.*\)$|^\w+=", q)]
    everything = "".join(map(source, SCRIPTS))
    assert [call for call in calls if call not in everything] == []


def messages(script):
    """Return a regular expression for each text that the script can print."""
    texts = re.findall(r'"(\w[^"\n]* [^"\n]*)"', source(script))
    return [re.sub(r"\\{.*?\\}|%[ds]", ".+", re.escape(text)) for text in texts]


@pytest.mark.parametrize(
    "quote",
    [q for _, seen, _ in WHAT_IF for q in quotes(seen) if " " in q],
)
def test_what_you_see_is_something_that_a_script_prints(quote):
    """The text around the values, and each word that stands for a value."""
    printed = [message for script in SCRIPTS for message in messages(script)]
    assert any(re.fullmatch(m, quote) or re.escape(quote) in m for m in printed)
    everything = "".join(map(source, SCRIPTS))
    assert {w for w in re.findall("[a-z]+", quote) if w not in everything} == set()


@pytest.mark.parametrize("row", WHAT_IF, ids=lambda row: row[0][:40])
def test_each_row_of_the_table_links_to_a_test(row):
    path, name = re.fullmatch(r'\[.+\]\((\S+) "(test_\w+)"\)', row[0]).groups()
    assert f"\ndef {name}(" in source(path)


def flags(script):
    """Return {flag: default} from the source of a script."""
    flag = r'add_argument\(\s*"(.+?)"(?:[^()]* default="?([^",]+))?'
    return dict(re.findall(flag, source(script)))


def test_the_table_of_flags_is_what_the_scripts_take():
    described = {script: {} for script in SCRIPTS}
    for who, flag, default, _ in tables(REFERENCE)[0]:
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


def test_links_lead_somewhere():
    names = [re.sub(r"[^\w -]", "", heading.lower()) for heading in SECTIONS]
    anchors = ["#" + name.replace(" ", "-") for name in names]
    here = [t for t in LINK.findall(PROSE) if not t.startswith("https://")]
    files = [target for target in here if target not in anchors]
    assert [file for file in files if not (ROOT / file).exists()] == []


def test_the_runs_of_the_sweep_are_as_many():
    assert f"more than {sum(PLACES.values()):,} runs" in PROSE


def test_measured_figures_in_a_sentence_are_those_of_their_table():
    rows = re.search(r"took (\S+) rows a second .*, and (\S+) in batches", PROSE)
    users = re.search(r"handled (\S+) and (\S+) users a second", PROSE)
    for number in [*rows.groups(), *users.groups()]:
        assert f"| {number} |" in PROSE, number


@pytest.mark.parametrize("script", SCRIPTS + TOOLS)
def test_flags_in_commands_are_those_of_the_script(script):
    """With their values they follow its name, at once."""
    commands = re.findall(rf"python {script}((?: --\S+(?: \w+)?)*)", README)
    used = re.findall(r"--[\w-]+", "".join(commands))
    assert set(used) <= {*flags(script)}


def test_the_files_in_commands_exist():
    files = re.findall(
        r"(?:bash|python|pip install -r) ([\w/-]+\.(?:py|sh|txt))", README
    )
    missing = {file for file in files if not (ROOT / file).exists()}
    assert missing == {"skip.py"}  # the reader makes it
