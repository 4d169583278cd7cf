"""How to set a system up for vcond: the steps that its plug-in brings, with the values of this configuration.

Beside ``setup.md`` (``setup-<name>.md`` where a package holds several) a plug-in may have a ``setup.toml`` of the same beginning:
``files``, the names of the code blocks in order, and ``values``, what stands in the text for which key. In ``here``, ``{key}`` is
a key of the plug-in's section, ``{/web.listen}`` any key, ``{url.port}`` a part of one, ``{key:toml}`` as it is written in TOML.
Where a key is not set the text stays an example.
"""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Mapping
from importlib import resources
from importlib.resources.abc import Traversable
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import msgspec

from vcond.app.installed import ADAPTERS, SINKS, installed
from vcond.app.plugins import of_package
from vcond.base.errors import ConfigError

_PLACE = re.compile(r"\{(/?[a-z_]+(?:\.[a-z_]+)?)(:toml)?\}")
_BLOCK = re.compile(r"^ *```\w*\n(.*?)^ *```$", re.MULTILINE | re.DOTALL)
_REFERENCE = re.compile(r"^\$\{(credential|file|env):([^}]+)\}$")
_SECRET = ("password", "secret", "token", "key")
_SAID = {"credential": "what is in /etc/credstore/{}", "file": "what is in {}", "env": "the value of ${}"}


class Steps(NamedTuple):
    """What is printed, and what can be written: by name."""

    text: str
    files: dict[str, str]


class _Value(msgspec.Struct, forbid_unknown_fields=True):
    shown: str
    here: str


class _Places(msgspec.Struct, forbid_unknown_fields=True):
    files: list[str] = []
    values: list[_Value] = []


class _Unset(LookupError):  # noqa: N818 - no error: the text stays as it is
    """A key that the configuration does not have."""


def steps(name: str, tree: Mapping[str, Any]) -> Steps:
    """For an adapter or a sink; ``tree`` is the configuration as it is written, secrets by reference. Raises ConfigError."""
    text, places = _brought(name, "md"), _brought(name, "toml")
    if text is None or not text.is_file():
        known = sorted([*installed(ADAPTERS), *(sink for sink in installed(SINKS) if _brings(sink))])
        raise ConfigError(f"there are no steps for {name!r}; there are for: {', '.join(known)}")
    said = text.read_text("utf-8")
    if places is None or not places.is_file():
        return Steps(said, {})
    told = msgspec.convert(tomllib.loads(places.read_text("utf-8")), _Places)
    section = _section(name, tree)
    for value in told.values if section is not None else ():
        try:
            here = _PLACE.sub(lambda place: _value(place[1], bool(place[2]), section or {}, tree), value.here)
        except _Unset:
            continue
        said = said.replace(value.shown, here)
    return Steps(said, {file: block for file, block in zip(told.files, _BLOCK.findall(said), strict=True) if file})


def _brings(sink: str) -> bool:
    text = _brought(sink, "md")
    return text is not None and text.is_file()


def _brought(name: str, ending: str) -> Traversable | None:
    """A file of the plug-in's package; None for a plug-in that is not installed."""
    adapters, sinks = installed(ADAPTERS), installed(SINKS)
    if name in adapters:
        return of_package(adapters[name][0], name, f"setup.{ending}")
    if name in sinks:
        module = sinks[name][0].module  # of a file in a folder, or of a package that is all of it
        return resources.files(module.rpartition(".")[0] or module).joinpath(f"setup-{name}.{ending}")
    return None


def _section(name: str, tree: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The first of this kind in the configuration."""
    adapters = tree.get("adapters", {})
    named = (
        [{"type": key} | own for key, own in adapters.items() if isinstance(own, dict)]
        if isinstance(adapters, dict)
        else []
    )
    sinks = tree.get("sinks", [])
    sections = [*named, *(sinks if isinstance(sinks, list) else [])]
    return next((one for one in sections if isinstance(one, dict) and one.get("type") == name), None)


def _value(place: str, toml: bool, section: Mapping[str, Any], tree: Mapping[str, Any]) -> str:
    """What is written for a place. Raises _Unset."""
    key, _, part = place.lstrip("/").partition(".")
    found = tree.get(key, {}) if place.startswith("/") else section
    last = part if place.startswith("/") else key
    if not isinstance(found, dict) or found.get(last) in (None, "", []):
        raise _Unset(place)
    value = found[last]
    reference = _REFERENCE.match(value) if isinstance(value, str) else None
    secret = any(word in last for word in _SECRET)
    if toml:
        if secret and reference is None:
            raise _Unset(place)  # a secret that stands in a file is nobody's to print
        return json.dumps(value, ensure_ascii=False)
    if reference is not None:
        return f"<{_SAID[reference[1]].format(reference[2])}>"
    if secret:
        return f"<{last} of vcond's configuration>"
    return str(value) if place.startswith("/") or not part else _part(value, part)


def _part(value: Any, part: str) -> str:
    """Of an address, a user or a list. Raises _Unset."""
    first = value[0] if isinstance(value, list) else value
    text = str(first)
    try:
        url = urlsplit(text)
        found = {
            "first": lambda: text,
            "name": lambda: text.partition("@")[0],
            "port": lambda: str(url.port or ""),
            "address": lambda: url.netloc.rpartition("@")[2] or text.partition(":")[2],
        }[part]()
    except ValueError:
        found = ""
    if not found:
        raise _Unset(part)
    return found
