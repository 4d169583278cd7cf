"""``[redaction]``."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

FINDERS = ("cards", "telephones", "accounts", "birth-dates", "emails", "own")


class RedactionConfig(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """``[redaction]``: what is looked for in calls whose record is redacted."""

    finders: Annotated[tuple[Annotated[str, Meta(max_length=64)], ...], Meta(min_length=1, max_length=64)] = FINDERS
    """What looks for secrets: those that vcond brings, and plug-ins by their names."""
    languages: Annotated[tuple[Annotated[str, Meta(pattern=r"^[a-z]{2,3}$")], ...], Meta(min_length=1)] = ("en",)
    """In which languages numbers and questions are read; the first is that of calls of no known language."""
    tone: bool = False
    """A tone stands where sound was taken out, not silence. Where no text says what was said there is silence in any case."""
    second_look: Literal["try", "must", "off"] = "try"
    """What is redacted is transcribed once more when the speech workers have time, and more is taken out if something is found; what
    stays suspicious is not delivered. ``try``: it is delivered without when no worker had time for five minutes; ``must``: it waits."""
    settings: dict[str, dict[str, Any]] = {}
    """``[redaction.settings.own]``: your own words, patterns and numbers; likewise what other finders are to know."""
