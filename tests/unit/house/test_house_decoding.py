"""What others wrote is decoded in many places: none forgets what a decoder raises beside its own error."""

from __future__ import annotations

import ast
from pathlib import Path

import msgspec
import pytest

TOP = Path(__file__).parents[3]
FILES = sorted([*TOP.glob("vcond/**/*.py"), *TOP.glob("adapters/*/vcond_*/**/*.py")])
OWN = {"DecodeError", "MsgspecError"}
TEXT = {"UnicodeDecodeError", "UnicodeError", "ValueError", "Exception"}
DEPTH = {"RecursionError", "Exception"}


def caught(guarded: ast.Try | ast.Call) -> set[str]:
    """The names of all that its handlers catch, or that are suppressed, without their modules."""
    kinds = guarded.args if isinstance(guarded, ast.Call) else [one.type for one in guarded.handlers if one.type]
    parts = [part for kind in kinds for part in (kind.elts if isinstance(kind, ast.Tuple) else [kind])]
    return {part.attr if isinstance(part, ast.Attribute) else ast.unparse(part) for part in parts}


def forgetful(text: str) -> list[int]:
    """Lines of what catches msgspec's errors, and not what it raises for bad UTF-8 and for what is nested too deep."""
    if not any(name in text for name in OWN):
        return []
    tries = [node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Try) or suppresses(node)]
    return [node.lineno for node in tries if (names := caught(node)) & OWN and not (names & TEXT and names & DEPTH)]


def suppresses(node: ast.AST) -> bool:
    return isinstance(node, ast.Call) and ast.unparse(node.func).endswith("suppress")


@pytest.mark.parametrize(
    ("body", "kind"), [(b'{"a":' + b"[" * 100_000, RecursionError), (b'{"a":"\xff"}', UnicodeDecodeError)]
)
def test_what_a_decoder_raises_beside_its_own_error(body, kind):
    with pytest.raises(kind):
        msgspec.json.decode(body)


def test_none_forgets_it():
    found = [f"{file.relative_to(TOP)}:{line}" for file in FILES for line in forgetful(file.read_text())]
    assert found == []


def test_what_is_found():
    said = "try:\n    x()\nexcept {}:\n    pass\n"
    assert forgetful(said.format("msgspec.DecodeError")) == [1]
    assert forgetful(said.format("(msgspec.MsgspecError, RecursionError)")) == [1]
    assert forgetful(said.format("(msgspec.MsgspecError, UnicodeDecodeError)")) == [1]
    assert forgetful(said.format("(msgspec.MsgspecError, UnicodeDecodeError, RecursionError)")) == []
    assert forgetful(said.format("(ValueError, RecursionError)")) == []
    assert forgetful("with suppress(msgspec.MsgspecError, RecursionError):\n    x()\n") == [1]
