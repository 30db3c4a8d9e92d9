"""The parts of README.md, for its tests."""

import re

from script import ROOT

README = (ROOT / "README.md").read_text(encoding="utf-8")
FENCE = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
PROSE = FENCE.sub("", README)
SECTIONS = dict(re.findall(r"^## (.+)\n((?:(?!## ).*\n)*)", README, re.MULTILINE))
STEPS = "".join(text for name, text in SECTIONS.items() if name.startswith("Step"))
WAYS = re.split("^### (.+)", SECTIONS["Set-up"], flags=re.MULTILINE)
WAYS = dict(zip(WAYS[1::2], WAYS[2::2]))  # {"With Docker": its text, ...}


def source(path):
    """Return the text of a file of the repository."""
    return (ROOT / path).read_text(encoding="utf-8")


def blocks(language, text=README):
    """Return the code blocks of a language."""
    return [code for name, code in FENCE.findall(text) if name == language]


def tables(section):
    """Return the tables of a section. A row is a list of cells."""
    found = re.findall(r"(?:^\|.*\|\n)+", SECTIONS[section], re.MULTILINE)
    lines = [table.splitlines()[2:] for table in found]
    return [[line.strip("| ").split(" | ") for line in table] for table in lines]


def quotes(text):
    """Return what stands between backticks in a text."""
    return re.findall(r"`([^`]+)`", text)


def transcript(text):
    """Return what a terminal shows: the commands, typed, and what comes of them."""
    shown = ""
    for language, code in FENCE.findall(text):
        if language == "sh":
            code = re.sub("^", "$ ", code.rstrip(), flags=re.MULTILINE) + "\n"
        if language in ("sh", "text"):
            shown += code
    return shown


def scenes(text):
    """Return (terminal, transcript) pairs, in order."""
    _, *parts = re.split(r"\*\*(Terminal \d)\*\*: ", text)
    return [(name, transcript(part)) for name, part in zip(parts[::2], parts[1::2])]


RECORDED = next(shown for name, shown in scenes(STEPS) if name == "Terminal 3")


def example(script):
    """Return what the README says about work of one's own in a script."""
    parts = SECTIONS["Put your own work in"].split("<details>")
    return next(part for part in parts if f"In `{script}`" in part)


def snippet(script):
    """Return the function of one's own that the README puts into a script."""
    return blocks("python", example(script))[0]
