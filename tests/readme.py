"""README.md in its parts: what its tests and its pictures are made of."""

import re

from kit import ROOT

README = (ROOT / "README.md").read_text(encoding="utf-8")
FENCE = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
PROSE = FENCE.sub("", README)
SECTIONS = dict(re.findall(r"^## (.+)\n((?:(?!## ).*\n)*)", README, re.MULTILINE))
OWN_WORK = SECTIONS["Put your own work in"]


def source(script):
    """Return the text of a script."""
    return (ROOT / script).read_text(encoding="utf-8")


def blocks(language, text=README):
    """Return the code blocks of a language."""
    return [code for name, code in FENCE.findall(text) if name == language]


def rows(section):
    """Return the cells of the table in a section, row by row, without its head."""
    lines = re.findall(r"^\| (.*) \|$", SECTIONS[section], re.MULTILINE)
    return [line.split(" | ") for line in lines[2:]]


def quotes(cell):
    """Return what is quoted in a cell or a text."""
    return re.findall(r"`([^`]+)`", cell)


def scenes():
    """Return [(terminal, transcript)]: the last terminal named before each transcript."""
    found, terminal = [], None
    for part in re.finditer(rf"\*\*(Terminal \d)\*\*|{FENCE.pattern}", README, FENCE.flags):
        terminal = part[1] or terminal
        if part[2] == "console":
            found.append((terminal, part[3]))
    return found
