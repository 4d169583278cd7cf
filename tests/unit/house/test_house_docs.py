"""Tables in the documentation are made from the code by tools/make_docs.py; this shows that it would notice."""

from __future__ import annotations

import importlib.util
import json
import re
import sys
import tomllib
from pathlib import Path
from typing import Annotated

import msgspec
import pytest
import typer
from msgspec import Meta

TOP = Path(__file__).resolve().parents[3]


def tool(name: str):
    spec = importlib.util.spec_from_file_location(f"tools_{name}", TOP / "tools" / f"{name}.py")
    module = sys.modules[f"tools_{name}"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


docs = tool("make_docs")
keys = docs.config_keys
SECTIONS = {re.sub(r"[\[\]]", "", section.title): section for section in keys.sections()}


def test_a_table_that_differs_is_told_and_written(tmp_path: Path, monkeypatch, capsys):
    monkeypatch.setattr(docs, "TOP", tmp_path)
    monkeypatch.setattr(docs, "PAGES", {"page.md": {"words": lambda: "| a |"}})
    (tmp_path / "pyproject.toml").write_text(docs.lists((TOP / "pyproject.toml").read_text(), tmp_path))
    metrics = tmp_path / docs.METRICS
    metrics.parent.mkdir(parents=True)
    metrics.write_text("")
    page = tmp_path / "page.md"
    page.write_text("before\n<!-- words: made by `make docs` -->\n| b |\n<!-- end of words -->\nafter\n")
    assert docs.main("--check") == 1
    assert "page.md" in capsys.readouterr().out
    assert docs.main() == 0
    text = page.read_text()
    assert "| a |" in text
    assert "| b |" not in text
    assert (text.splitlines()[0], text.splitlines()[-1]) == ("before", "after")
    assert docs.main("--check") == 0
    page.write_text("no place")
    with pytest.raises(ValueError, match="one place for the table words"):
        docs.main()


def test_the_folder_of_an_adapter_is_in_every_list_that_needs_it(tmp_path: Path):
    package = tmp_path / "adapters" / "acme" / "vcond_acme"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    made = tomllib.loads(docs.lists((TOP / "pyproject.toml").read_text(), tmp_path))["tool"]
    assert made["hatch"]["build"]["dev-mode-dirs"] == made["ruff"]["src"] == [".", "adapters/acme"]
    assert made["hatch"]["build"]["targets"]["wheel"]["packages"] == ["vcond", "adapters/acme/vcond_acme"]
    assert (made["mypy"]["packages"], made["mypy"]["mypy_path"]) == (["vcond", "vcond_acme"], ["adapters/acme"])
    with pytest.raises(ValueError, match="not one list src"):
        docs.lists((TOP / "pyproject.toml").read_text().replace("src =", "sources ="), tmp_path)


def test_a_metric_that_is_never_counted_or_made_elsewhere_is_found(tmp_path: Path):
    metrics = tmp_path / docs.METRICS
    metrics.parent.mkdir(parents=True)
    metrics.write_text('one = Counter("vcond_one", "One", ["what"])\ntwo = Gauge("vcond_two", "Two")\n')
    other = tmp_path / "vcond" / "other.py"
    other.write_text('metrics.one.labels("x").inc()\nmetrics.two\n')
    assert docs.miscounted(tmp_path) == ["vcond/base/metrics.py: vcond_two is exported and never counted"]
    other.write_text('metrics.one.labels("x").inc()\nmetrics.two.set(1)\nfrom prometheus_client import Gauge\n')
    (found,) = docs.miscounted(tmp_path)
    assert found.startswith("vcond/other.py:3: ")


def test_the_index_names_every_page():
    index = (TOP / "docs/README.md").read_text()
    pages = [page.name for page in TOP.glob("docs/*.md") if page.name != "README.md"]
    pages += [f"../{page.relative_to(TOP)}" for page in TOP.glob("adapters/*/*.md")]
    assert [page for page in pages if f"]({page})" not in index] == []


def test_every_metric_that_a_page_names_is_exported():
    exported = {name for _, _, name, _, _ in docs.metric_calls(TOP / docs.METRICS)}
    for page in [TOP / "README.md", *TOP.glob("docs/*.md"), *TOP.glob("adapters/*/*.md")]:
        named = set(
            re.findall(r"\b(vcond_(?:stt|journal|outbox|sink|calls|dropped|odd|amend\w*)_?\w*)", page.read_text())
        )
        assert named <= exported, page


class Inner(msgspec.Struct, frozen=True):
    """What is inside."""

    words: Annotated[list[Annotated[str, Meta(max_length=3)]], Meta(max_length=2)] = []
    """Some."""


class Base(msgspec.Struct):
    port: Annotated[int, Meta(ge=0, le=9)]
    """The port,
    on two lines with ``code``."""


class Outer(Base, kw_only=True):
    """``[outer]``: all of it."""

    time: Annotated[float, Meta(gt=0)] = 5.0
    """How long."""
    inner: Inner = Inner()
    """More."""
    many: list[Inner] = []
    """Many."""
    pair: tuple[int, int] | None = None
    """Two."""


class Mute(msgspec.Struct):
    said: str = ""
    """There."""
    unsaid: str = ""


def test_a_key_has_type_default_bounds_and_help_and_sections_inside_follow():
    found = list(keys._section("[outer]", Outer))
    assert [section.title for section in found] == ["[outer]", "[outer.inner]", "[[outer.many]]"]
    assert found[0].help == "All of it."
    rows = {key.name: (key.kind, key.default, key.bounds, key.help) for key in found[0].keys}
    assert rows["port"] == ("whole number", None, "0 to 9", "The port, on two lines with ``code``.")
    assert rows["time"] == ("number", "5", "more than 0", "How long.")
    assert rows["pair"] == ("list of 2: whole number", "", "", "Two.")
    assert found[1].keys[0].bounds == "at most 2 entries; each at most 3 letters"


def test_a_key_an_option_or_a_command_without_help_is_an_error():
    with pytest.raises(ValueError, match=r"Mute\.unsaid has no docstring"):
        list(keys._section("[mute]", Mute))
    app = typer.Typer()

    @app.command()
    def speak(word: str) -> None:
        """Speak."""

    with pytest.raises(ValueError, match="vcond speak: word has no help"):
        list(docs.commands_of_code.commands(app, "vcond"))


def test_what_a_text_must_look_like_is_said_for_every_key():
    assert [
        (section.title, key.name)
        for section in SECTIONS.values()
        for key in section.keys
        if "see the sample" in key.bounds
    ] == []


def samples() -> list[Path]:
    return [TOP / "vcond/config/sample.toml", *sorted(TOP.glob("adapters/*/sample*.toml"))]


def settings(text: str):
    """Section, key and value of each line of TOML, commented out or not."""
    section = ""
    for line in text.splitlines():
        if found := re.match(r"(#\s*)?\[+([\w.]+)\]+", line):
            section = found[2]
        elif found := re.match(r"(#\s*)?(\w+) = (.+)", line):
            yield section, found[2], found[3], bool(found[1])


def test_samples_have_keys_that_there_are_and_every_section():
    for file in samples():
        text = file.read_text()
        for section, key, _, _ in settings(text):
            known = {key.name for title, one in SECTIONS.items() if title.split()[0] == section for key in one.keys}
            assert key in known | {"type", "form", "content", "match"}, f"{file.relative_to(TOP)}: {section}.{key}"
    there = {section for section, *_ in settings(samples()[0].read_text())}
    assert {re.split("[. ]", name)[0] for name in SECTIONS} - {name.partition(".")[0] for name in there} == set()


def test_what_the_sample_sets_and_does_not_comment_out_is_the_default():
    text = (TOP / "vcond/config/sample.toml").read_text()
    for section, key, value, commented in settings(text):
        if not commented and section != "sinks":
            (told,) = [one.default for one in SECTIONS[section].keys if one.name == key]
            assert tomllib.loads(f"v = {value}")["v"] == json.loads(told), f"{section}.{key}"
