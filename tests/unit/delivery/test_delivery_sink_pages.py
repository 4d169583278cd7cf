"""What the steps show of sinks can be used as it stands: each block is a configuration that its sink takes.

The blocks of docs/ are tried with those of all other pages (``test_house_site``).
"""

from __future__ import annotations

import base64
import re
import tomllib
from importlib.metadata import EntryPoint
from pathlib import Path

import msgspec
import pytest

TOP = Path(__file__).parents[3]
SINKS = tomllib.loads((TOP / "pyproject.toml").read_text())["project"]["entry-points"]["vcond.sinks"]
STEPS = sorted((TOP / "vcond/delivery/sinks").glob("setup-*.md"))
BLOCK = re.compile(r"^ *```toml\n(.*?)^ *```$", re.MULTILINE | re.DOTALL)
SECRET = base64.b64encode(b"twenty-four bytes or more").decode()


def blocks():
    for page in STEPS:
        for text in BLOCK.findall(page.read_text("utf-8")):
            for section in tomllib.loads(re.sub(r"\$\{credential:[^}]*\}", SECRET, text)).get("sinks", []):
                yield pytest.param(section, id=f"{page.stem}-{section['type']}")


@pytest.mark.parametrize("section", list(blocks()))
def test_a_block_of_the_steps_is_taken_by_its_sink(section):
    kind = EntryPoint(section["type"], SINKS[section["type"]], "vcond.sinks").load()
    assert section.pop("form", "plain") in kind.forms
    section.pop("match", None)
    own = {key: value for key, value in section.items() if key != "type"}
    assert kind(msgspec.convert(own, kind.Config)).name


def test_every_sink_has_its_part_of_the_page_and_steps():
    page = (TOP / "docs/sinks.md").read_text("utf-8")
    for name in SINKS.keys() - {"folder", "conserver"}:
        part = page.partition(f"\n## `{name}`\n")[2].partition("\n## ")[0]
        assert f'type = "{name}"' in part
        assert f"| `{name}` |" in page
        assert (TOP / f"vcond/delivery/sinks/setup-{name}.md").is_file()
