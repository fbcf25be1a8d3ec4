"""No flag of the shell, no long hash and no cure that a panel does not have reaches a panel."""

import ast
import re
from pathlib import Path

import pytest

import napari_tileseg
from napari_tileseg.session.text.panel_words import panel_words

PACKAGE = Path(napari_tileseg.__file__).parent
#: What only the shell, or only Python, has.
FOREIGN = re.compile(
    r"--[a-z]|TILESEG_|same command|trust_sha256|setting architecture|[0-9a-f]{64}|"
    r"another location, or|predict to another location|wrote; .*another location"
)
#: Parts that never speak to a panel: the shell itself, what writes its lines, and names of variables.
SHELL = {"cli", "command.py", "demo.py"}


def _text(node):
    """Text of a string, with something in place of what is put into it; None for anything else."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        return "".join(_part(part) for part in node.values)
    return None


def _part(node):
    if isinstance(node, ast.Constant):
        return str(node.value)
    return "0123456789abcdef" * 4 if "sha256" in ast.unparse(node) else "7"


def _sentences(path):
    """Strings of a module that are sentences; docstrings and names are none."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    skipped = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    skipped |= {
        id(part) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for part in node.values
    }
    for node in ast.walk(tree):
        text = None if id(node) in skipped else _text(node)
        if text and text.count(" ") > 2:
            yield text


def _all_sentences():
    for path in sorted(PACKAGE.rglob("*.py")):
        if not SHELL & set(path.relative_to(PACKAGE).parts) and path.name != "panel_words.py":
            yield from ((path.relative_to(PACKAGE), text) for text in _sentences(path))


def test_sentences_are_found():
    found = [text for _, text in _all_sentences()]
    assert len(found) > 300
    assert sum(bool(FOREIGN.search(text)) for text in found) > 10, "there is something to be put otherwise"


def test_nothing_that_only_the_shell_has_reaches_a_panel():
    left = [(str(path), text) for path, text in _all_sentences() if FOREIGN.search(panel_words(text))]
    assert left == []


@pytest.mark.parametrize(
    ("said", "words"),
    [
        (
            "n takes 1 channel(s); a gives 3. Pick channels, such as --channel 0.",
            "list of channels",
        ),
        (
            "It needs 9 GB. Free some space, choose another location, or predict a box.",
            "set a box under change",
        ),
        ("The disk of a is full. Free some space and run the same command again.", "press Predict again"),
        (
            "a holds another kind. Choose another location, or remove it first.",
            "predict again",
        ),
        (f"image was {'ab' * 32} and now is {'cd' * 32}.", "abababab\N{HORIZONTAL ELLIPSIS}"),
        ("Free some space, or choose another folder with TILESEG_HOME.", "Free some space."),
    ],
)
def test_a_cure_is_one_that_the_panel_has(said, words):
    assert words in panel_words(said)
    assert not FOREIGN.search(panel_words(said))


def test_what_a_panel_can_do_is_left_as_it_is():
    said = "The result should be copied to a; it is full. It is still at b: choose another location."
    assert panel_words(said) == said
