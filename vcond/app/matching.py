"""``match`` of ``[[sinks]]`` and ``[[links]]``: which calls' vCons each is for. Decisions 0043 and 0056."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from vcond.call.matching import Match, matches
from vcond.call.state import Call
from vcond.config.load import convert
from vcond.config.schema import LinkRule
from vcond.sdk.link import PREFIX


def matches_of(sinks: Sequence[Mapping[str, Any]]) -> dict[str, Match]:
    """Of the sections that name something, by the sink's name. Raises ConfigError."""
    found = {
        str(section.get("name", section.get("type"))): convert(section["match"], Match, f"sinks[{i}].match")
        for i, section in enumerate(sinks)
        if "match" in section
    }
    return {name: match for name, match in found.items() if match != Match()}


def unmatched(of_sinks: Mapping[str, Match], call: Call, links: Sequence[LinkRule] = ()) -> Collection[str]:
    """The sinks, and the links as such, that the vCons of a call are not for."""
    made_by = call.adapter.removeprefix(PREFIX) if call.adapter.startswith(PREFIX) else ""
    out = [name for name, match in of_sinks.items() if not matches(match, call)]
    return out + [f"{PREFIX}{one.name}" for one in links if one.after != made_by or not matches(one.match, call)]
