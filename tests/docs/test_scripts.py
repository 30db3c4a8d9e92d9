"""The scripts as a reader sees them: plain lines, and the same words for one thing."""

import ast
import collections

import pytest
from readme import source
from script import SCRIPTS

DIFFERENT = {"main", "read_flags", "connect", "consume", "receive"}  # their own work
NODES = 13  # of the syntax tree, that a line may have and still be read only once


def definitions(script):
    """Return {name: source} of a script's functions and classes, and its settings."""
    text = source(script)
    found = {
        getattr(node, "name", None) or ast.unparse(node.targets[0]): node
        for node in ast.parse(text).body
        if isinstance(node, (ast.FunctionDef, ast.ClassDef, ast.Assign))
    }
    return {name: ast.get_source_segment(text, node) for name, node in found.items()}


def test_what_stands_in_several_scripts_is_the_same_word_for_word():
    versions = collections.defaultdict(list)
    for script in SCRIPTS:
        for name, text in definitions(script).items():
            versions[name].append(text)
    repeated = {name: texts for name, texts in versions.items() if len(texts) > 1}
    assert {"CLUSTER", "shut_down", "commit", "Rebalance", "say"} <= {*repeated}
    differing = {name for name, texts in repeated.items() if len({*texts}) > 1}
    assert differing <= DIFFERENT


def test_no_line_asks_for_a_second_look(any_script):
    text, nodes = source(any_script), collections.Counter()
    for node in ast.walk(ast.parse(text)):
        if hasattr(node, "lineno"):
            nodes[node.lineno] += 1
    lines = [line for line in text.splitlines() if line.strip()]
    assert max(map(len, lines)) <= 88
    assert sum(nodes.values()) / len(lines) < 4.3
    assert len([n for n in nodes.values() if n > NODES]) <= 2


@pytest.mark.parametrize("call", ["KafkaConsumer", "KafkaProducer"])
def test_each_setting_of_a_client_has_its_comment(call):
    for script in SCRIPTS:
        lines = [line.strip() for line in source(script).splitlines()]
        if f"{call}(" not in "".join(lines):
            continue
        [start] = [n for n, line in enumerate(lines) if line.endswith(f" {call}(")]
        settings = lines[start + 1 : lines.index(")", start)]
        bare = [
            line
            for before, line in zip(settings, settings[1:])
            if not line.startswith("#") and not before.startswith("#")
        ]
        assert [line for line in bare if not line.startswith("group_id=")] == []
