"""``match`` of ``[[sinks]]``: which calls' vCons each is for. Decision 0043."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from vcond.call.matching import Match, matches
from vcond.call.state import Call
from vcond.config.load import convert


def matches_of(sinks: Sequence[Mapping[str, Any]]) -> dict[str, Match]:
    """Of the sections that name something, by the sink's name. Raises ConfigError."""
    found = {
        str(section.get("name", section.get("type"))): convert(section["match"], Match, f"sinks[{i}].match")
        for i, section in enumerate(sinks)
        if "match" in section
    }
    return {name: match for name, match in found.items() if match != Match()}


def unmatched(of_sinks: Mapping[str, Match], call: Call) -> Collection[str]:
    """The sinks that the vCons of a call are not for."""
    return [name for name, match in of_sinks.items() if not matches(match, call)]
