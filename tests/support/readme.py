"""The parts of README.md: its tests read them, and its picture is made from one."""

import re

from script import ROOT

README = (ROOT / "README.md").read_text(encoding="utf-8")
FENCE = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
PROSE = FENCE.sub("", README)
SECTIONS = dict(re.findall(r"^## (.+)\n((?:(?!## ).*\n)*)", README, re.MULTILINE))
OWN_WORK = SECTIONS["Put your own work in"]
RUN_ELSEWHERE = OWN_WORK + SECTIONS["Troubleshooting"]  # by tests of their own


def source(path):
    """Return the text of a file of the repository."""
    return (ROOT / path).read_text(encoding="utf-8")


def blocks(language, text=README):
    """Return the code blocks of a language."""
    return [code for name, code in FENCE.findall(text) if name == language]


def rows(section):
    """Return the rows of the first table in a section, each a list of cells."""
    [table] = re.findall(r"(?:^\|.*\|\n)+", SECTIONS[section], re.MULTILINE)[:1]
    return [line.strip("| ").split(" | ") for line in table.splitlines()[2:]]


def quotes(text):
    """Return what stands between backticks in a text."""
    return re.findall(r"`([^`]+)`", text)


def scenes():
    """Return (terminal, transcript) pairs, in order."""
    _, *parts = re.split(r"\*\*(Terminal \d)\*\*", README)
    pairs = zip(parts[::2], parts[1::2])
    return [(name, code) for name, text in pairs for code in blocks("console", text)]


RECORDED = next(code for name, code in scenes() if name == "Terminal 3")


def snippet(script):
    """Return the function of one's own that the README puts into a script."""
    [part] = [part for part in OWN_WORK.split("\n\n**") if f"`{script}`" in part]
    [code] = blocks("python", part)
    return code
