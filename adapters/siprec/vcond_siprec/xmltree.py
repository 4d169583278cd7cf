"""XML of recording clients as a tree of elements: strict where it is well-formed, else what can be made out. Pure.

Expat reads it; a DOCTYPE is refused, so there are no entities but the five of XML. Names lose their prefix and their
case: clients write one schema in four namespaces.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final
from xml.parsers import expat

from vcond.sdk.contract import ProtocolError

MAX_XML: Final = 256 * 1024
"""Bytes of one document."""
MAX_DEPTH: Final = 32
MOST_ELEMENTS: Final = 10_000
MAX_TEXT: Final = 4096
"""Characters that are kept of one text or attribute."""

_TAG: Final = re.compile(
    r"""<(/?)([A-Za-z_][\w.:-]{0,80})((?:\s++[\w.:-]++\s*+=\s*+(?:"[^"<]*+"|'[^'<]*+'))*+)\s*+(/?)>"""
)
"""A tag that stands as XML wants it. None spans a ``<``, so that looking for them takes no longer than the text is long."""
_ATTRIBUTE: Final = re.compile(r"""([\w.:-]++)\s*+=\s*+(?:"([^"<]*+)"|'([^'<]*+)')""")


@dataclass(slots=True)
class Element:
    """One element."""

    name: str
    """Without prefix, in lower case."""
    prefix: str = ""
    attributes: dict[str, str] = field(default_factory=dict)
    """By name, without prefix, in lower case."""
    children: list[Element] = field(default_factory=list)
    pieces: list[str] = field(default_factory=list)
    size: int = 0
    """Characters in the pieces."""

    @property
    def text(self) -> str:
        """Its own text, without surrounding space."""
        return "".join(self.pieces).strip()

    def add_text(self, text: str) -> None:
        """More text; what is too long is cut."""
        if self.size < MAX_TEXT:
            self.pieces.append(text[: MAX_TEXT - self.size])
            self.size += len(text)

    def all(self, name: str) -> Iterator[Element]:
        """The children of a name."""
        return (child for child in self.children if child.name == name)

    def first(self, name: str) -> Element | None:
        """The first child of a name."""
        return next(self.all(name), None)

    def say(self, name: str) -> str:
        """The text of the first child of a name; empty when there is none."""
        child = self.first(name)
        return child.text if child is not None else ""

    def attribute(self, *names: str) -> str:
        """The first of these attributes that it has, without surrounding space; empty when it has none."""
        return next((self.attributes[name] for name in names if name in self.attributes), "").strip()


class _Tree:
    """Builds a tree from what a reader sees. Raises ProtocolError when it gets too large."""

    def __init__(self) -> None:
        self.root = Element("")
        self.open = [self.root]
        self._count = 0

    def start(self, name: str, attributes: dict[str, str]) -> None:
        self._count += 1
        if self._count > MOST_ELEMENTS or len(self.open) > MAX_DEPTH:
            raise ProtocolError("metadata too large")
        prefix, _, local = name.rpartition(":")
        told = {key.rpartition(":")[2].lower(): value[:MAX_TEXT] for key, value in attributes.items()}
        element = Element(local.lower(), prefix, told)
        self.open[-1].children.append(element)
        self.open.append(element)

    def end(self, name: str) -> None:  # noqa: ARG002 - a reader's call
        self.open.pop()

    def text(self, text: str) -> None:
        self.open[-1].add_text(text)


def read(text: bytes) -> Element:
    """The tree of a well-formed document: its root. Raises ProtocolError for what is none, or is too large or deep."""
    if len(text) > MAX_XML:
        raise ProtocolError("metadata too large")
    tree = _Tree()
    parser = expat.ParserCreate()
    parser.buffer_text = True
    parser.StartElementHandler = tree.start
    parser.EndElementHandler = tree.end
    parser.CharacterDataHandler = tree.text
    parser.StartDoctypeDeclHandler = _refuse
    try:
        parser.Parse(text.strip(), True)
    except (expat.ExpatError, LookupError, ValueError):  # of these: an encoding that nobody knows
        raise ProtocolError("metadata is not well-formed XML") from None
    return tree.root.children[0]


def make_out(text: bytes, known: frozenset[str]) -> Element:
    """What can be made out of XML that is not well-formed: elements of ``known`` names, and the texts between them.

    Tags of other names are part of the text that they stand in, as are ``&`` and ``<`` that nobody escaped. An end tag
    closes what is open inside of it; one that closes nothing is passed over. The root has no name. Raises ProtocolError
    when it is too large.
    """
    if len(text) > MAX_XML:
        raise ProtocolError("metadata too large")
    raw = text.decode("utf-8", "replace")
    tree = _Tree()
    done = 0
    for tag in _TAG.finditer(raw):
        name = tag[2].rpartition(":")[2].lower()
        if name not in known:
            continue
        tree.text(html.unescape(raw[done : min(tag.start(), done + MAX_TEXT)]))
        done = tag.end()
        if not tag[1]:
            told = {key: html.unescape(double or single) for key, double, single in _ATTRIBUTE.findall(tag[3])}
            tree.start(tag[2], told)
            if tag[4]:
                tree.end(name)
            continue
        inside = [level for level, element in enumerate(tree.open) if level and element.name == name]
        if inside:
            del tree.open[inside[-1] :]
    return tree.root


def _refuse(*_: object) -> None:
    raise ProtocolError("metadata contains a DOCTYPE")
