"""``docs/glossary.md``: one word, one meaning."""

import ast
import importlib
import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs" / "glossary.md").read_text("utf-8")
ALLOWED = {
    "vcond/config/renamed.py": "old names of keys, to refuse and migrate them",
    "vcond/call/events.py": "names of records in journals, which stay",
}
"""Where a word of the second table may be, and why."""


def table(heading: str) -> list[list[str]]:
    lines = [line for line in PAGE.partition(heading)[2].partition("\n## ")[0].splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


TERMS = table("# Glossary")
GONE = {row[0]: row[1] for row in table("## Words that are not used")}


@pytest.mark.parametrize("row", TERMS, ids=lambda row: row[0])
def test_what_a_term_names_in_the_code_exists(row: list[str]):
    names = re.findall(r"`([\w.]+)`", row[2])
    assert names
    for name in names:
        module, _, attribute = name.rpartition(".")
        try:
            importlib.import_module(name)
        except ModuleNotFoundError:
            assert hasattr(importlib.import_module(module), attribute), (
                f"{name} is gone: what is {row[0]!r} called now?"
            )


def test_a_word_has_one_row():
    terms = [row[0] for row in TERMS]
    assert len(set(terms)) == len(terms) > 30
    assert not {row[0] for row in TERMS} & GONE.keys()


def parts(name: str) -> Iterator[str]:
    """The words of an identifier, and itself."""
    yield name
    yield from (part.lower() for part in re.findall(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])", name))


def names(source: str) -> set[str]:
    """The words of all names, as far as a word that is gone may be among them."""
    if not any(word.lower() in source.lower() for word in GONE):
        return set()
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    return {part for token in tokens if token.type == tokenize.NAME for part in parts(token.string)}


def test_an_identifier_is_seen_whole_and_in_its_words():
    assert {"ear", "_ear_of"} <= names("def _ear_of(): pass")
    assert {"lane", "SinkLane"} <= names("class SinkLane: pass")
    assert "ear" not in names("year, clear, Clear = 1, 2, 3")


@pytest.mark.parametrize("folder", ["vcond", "adapters"])
def test_words_that_are_gone_are_in_no_name_of_the_code(folder: str):
    found = [
        f"{path.relative_to(ROOT)}: {word} is called {GONE[word]}"
        for path in sorted((ROOT / folder).rglob("*.py"))
        if "tests" not in path.parts and str(path.relative_to(ROOT)) not in ALLOWED
        for word in sorted(names(path.read_text("utf-8")) & GONE.keys())
    ]
    assert not found, "\n".join(found)


def test_words_that_are_gone_are_in_no_document():
    pages = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").glob("*.md")]
    pages += [*(ROOT / "adapters").glob("*/*.md"), *(ROOT / "adapters").glob("*/sample*.toml")]
    pages.append(ROOT / "vcond" / "config" / "sample.toml")
    words = re.compile(rf"(?<![\w-])({'|'.join(map(re.escape, GONE))})(?![\w-])")
    found = [
        f"{path.relative_to(ROOT)}: {word} is called {GONE[word]}"
        for path in pages
        if path.name != "glossary.md"
        for word in sorted(set(words.findall(path.read_text("utf-8"))))
    ]
    assert not found, "\n".join(found)


def test_an_exception_is_one_still():
    for name in ALLOWED:
        text = (ROOT / name).read_text("utf-8")
        assert names(text) & GONE.keys() or any(re.search(rf"\b{re.escape(word)}\b", text) for word in GONE), name


@pytest.mark.parametrize("folder", ["vcond", "adapters"])
def test_log_lines_name_their_error_and_their_hint_alike(folder: str):
    levels = {"debug", "info", "warning", "error", "exception", "critical"}
    found = [
        f"{path.relative_to(ROOT)}:{keyword.lineno}: {keyword.arg} is called {instead[keyword.arg]}"
        for instead in [{"why": "error", "fix": "hint"}]
        for path in sorted((ROOT / folder).rglob("*.py"))
        for call in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute) and call.func.attr in levels
        for keyword in call.keywords
        if keyword.arg in instead
    ]
    assert not found, "\n".join(found)


def calls_of(folder: str) -> Iterator[tuple[str, ast.Call]]:
    """Every call in the code of a folder, and where it stands."""
    for path in sorted((ROOT / folder).rglob("*.py")):
        if "tests" not in path.parts:
            for call in ast.walk(ast.parse(path.read_text("utf-8"))):
                if isinstance(call, ast.Call):
                    yield f"{path.relative_to(ROOT)}:{call.lineno}", call


def told(folder: str) -> Iterator[tuple[str, str]]:
    """Where an event of the log stands, and its words."""
    for where, call in calls_of(folder):
        match call:
            case ast.Call(func=ast.Attribute(value=log, attr=level), args=[ast.Constant(value=str(event)), *_]):
                if level in LEVELS and ast.unparse(log).endswith("log"):
                    yield where, event


def said(folder: str) -> Iterator[tuple[str, str]]:
    """Where an error, or what a check found, stands, and its words; what is put into them is left out."""
    for where, call in calls_of(folder):
        name = ast.unparse(call.func).rpartition(".")[2]
        if name.endswith("Error") or name in {"Finding", "Seen", "Retry", "Refused", "Warned"}:
            for text in (
                *call.args,
                *(one.value for one in call.keywords if one.arg in {"hint", "fix", "text", "detail"}),
            ):
                parts = text.values if isinstance(text, ast.JoinedStr) else [text]
                words = [one.value for one in parts if isinstance(one, ast.Constant) and isinstance(one.value, str)]
                if words:
                    yield where, "...".join(words)


LEVELS = {"debug", "info", "warning", "error", "exception", "critical"}
MISREAD = (
    "loudly",
    "taken up",
    "left alone",
    "that goes on",
    "that go on",
    "keeps up",
    "warm",
    "heard of",
    "have something go",
)
"""Words that operators read as something else."""
SHORT = {"listening", "ready", "stopping"}
"""Of one word: what they are of stands beside them."""


def misread(texts: list[tuple[str, str]]) -> list[str]:
    words = re.compile(rf"(?<![\w-])({'|'.join(map(re.escape, (*GONE, *MISREAD)))})(?![\w-])")
    return [f"{where}: {text!r} has {found[0]!r}" for where, text in texts if (found := words.search(text))]


@pytest.mark.parametrize("folder", ["vcond", "adapters"])
def test_errors_and_what_checks_find_have_no_word_that_operators_misread(folder: str):
    texts = list(said(folder))
    assert len(texts) > 200
    wrong = misread(texts)
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("folder", ["vcond", "adapters"])
def test_events_of_the_log_say_in_a_short_sentence_what_happened(folder: str):
    events = list(told(folder))
    assert len(events) > 50
    wrong = misread(events)
    wrong += [f"{where}: {event!r} is long" for where, event in events if len(event.split()) > 22]
    wrong += [f"{where}: {event!r} says little" for where, event in events if " " not in event and event not in SHORT]
    wrong += [f"{where}: {event!r} ends like a text" for where, event in events if event.endswith((".", "!"))]
    assert not wrong, "\n".join(wrong)
