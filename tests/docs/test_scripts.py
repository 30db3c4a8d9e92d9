"""The scripts as a reader sees them: plain lines, and the same words for one thing."""

import ast
import collections

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
