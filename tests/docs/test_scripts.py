"""What the scripts say: the same words for one thing, and kafka-python's defaults."""

import ast
import collections
import re

import pytest
from kafka import KafkaConsumer, KafkaProducer
from readme import source
from script import PRODUCER, SCRIPTS

DIFFERENT = {"main", "read_flags", "connect", "consume", "receive"}  # their own work
UNITS = {"ms": 1, "s": 1_000, "minutes": 60_000, "MB": 1_000_000}


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


def client_of(script):
    return KafkaProducer if script == PRODUCER else KafkaConsumer


def test_no_setting_repeats_a_default_of_kafka_python(any_script):
    settings = {
        setting.arg: ast.unparse(setting.value)
        for node in ast.walk(ast.parse(definitions(any_script)["connect"]))
        if isinstance(node, ast.Call)
        and ast.unparse(node.func) == client_of(any_script).__name__
        for setting in node.keywords
        if setting.arg not in (None, "group_id")
    }
    assert settings
    defaults = client_of(any_script).DEFAULT_CONFIG
    repeated = [n for n, value in settings.items() if eval(value) == defaults[n]]
    assert repeated == []


def test_a_default_that_a_comment_names_is_that_of_kafka_python(any_script):
    comment = r'# .*\b(\d+) (ms|s|minutes|MB)\b.*\n +"?(\w+)"?[=:]'
    named = re.findall(comment, source(any_script))
    assert len(named) >= 3
    for number, unit, setting in named:
        default = client_of(any_script).DEFAULT_CONFIG[setting]
        assert int(number) * UNITS[unit] == pytest.approx(default, rel=0.05), setting
