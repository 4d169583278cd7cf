"""PLATFORMS.md: what is entered at a platform is well-formed, reaches a dialect, and says who is in the call."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit
from xml.etree import ElementTree as ET

import msgspec
import pytest

from vcond.sdk.media_stream import understand
from vcond_stream.dialects import DIALECTS

HOME = Path(__file__).parents[1]
PAGE = (HOME / "PLATFORMS.md").read_text()
URL = re.compile(r"wss://edge-1\.example\.com/stream/[\w/]+TOKEN(?:\?[\w=&-]+)?")
BLOCKS = re.findall(r"^```(\w*)\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
FROM, TO = "+15550100001", "+15550100002"


def blocks(kind):
    return [text for of, text in BLOCKS if of == kind]


def test_every_dialect_has_its_part_and_the_url_of_the_readme():
    ours = {urlsplit(url).path.split("/")[2]: url for url in URL.findall(PAGE)}
    theirs = {urlsplit(url).path.split("/")[2]: url for url in URL.findall((HOME / "README.md").read_text())}
    assert set(ours) == set(DIALECTS)
    for dialect, url in ours.items():
        asked, told = (dict(parse_qsl(urlsplit(of).query)) for of in (url, theirs[dialect]))
        assert set(asked) - {"sample-rate"} == set(told), dialect


@pytest.mark.parametrize("text", blocks("json"))
def test_json_is_json_and_has_one_url(text):
    msgspec.json.decode(text)
    assert len(URL.findall(text)) == 1


def pairs(text):
    """Names and values that an XML snippet passes along."""
    root = ET.fromstring(text)
    found = {e.get("name"): e.get("value") for tag in ("Parameter", "StreamParam") for e in root.iter(tag)}
    for stream in root.iter("Stream"):
        given = stream.get("extraHeaders", "")
        found |= dict(one.split("=") for one in given.split(";") if one)
    return found


@pytest.mark.parametrize("text", blocks("xml"))
def test_xml_is_xml_goes_on_after_the_stream_and_names_both(text):
    root = ET.fromstring(text)
    assert len(root) == 2  # without another verb the call would end
    assert len(URL.findall(text)) == 1
    told = understand(pairs(text))
    assert (told.caller.tel, told.callee.tel) in {(FROM, TO), (FROM[1:], TO[1:]), ("", ""), (None, None)}
    assert told.others == {}


@pytest.mark.parametrize("name", ["Vonage", "Sinch"])
def test_what_json_passes_along_names_both(name):
    text = PAGE.partition(f"\n## {name}\n")[2].partition("```json\n")[2].partition("```")[0]
    said = msgspec.json.decode(text)
    headers = said[0]["endpoint"][0]["headers"] if name == "Vonage" else {
        one["key"]: one["value"] for one in said["action"]["callHeaders"]
    }  # fmt: skip
    told = understand(headers)
    assert (told.caller.tel, told.callee.tel) == (FROM, TO)
