"""An example of a link: how long each recording of a vCon is stands in an analysis, where somebody can read it without the sound."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from vcond.base.errors import ConfigError
from vcond.sdk.link import LinkedVcon, LinkOptions


class DurationSettings(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """``settings`` of its section."""

    vendor: Annotated[str, Meta(min_length=1, max_length=64)] = "Acme"


class DurationLink:
    """See the module."""

    def __init__(self, options: LinkOptions) -> None:
        try:
            self._vendor = msgspec.convert(options.settings, DurationSettings).vendor
        except msgspec.ValidationError as why:
            raise ConfigError(str(why), "settings") from None

    def work(self, vcon: dict[str, Any]) -> Iterator[LinkedVcon]:
        """One with an analysis more for each recording, or none."""
        dialogs = enumerate(vcon.get("dialog") or [])
        found = [
            self._analysis(at, one["duration"]) for at, one in dialogs if isinstance(one.get("duration"), (int, float))
        ]
        if found:
            yield LinkedVcon({**vcon, "analysis": [*(vcon.get("analysis") or []), *found]})

    def _analysis(self, dialog: int, seconds: float) -> dict[str, Any]:
        body = {"seconds": seconds}
        return {
            "type": "duration", "dialog": dialog, "vendor": self._vendor, "mediatype": "application/json",
            "encoding": "json", "body": body,
        }  # fmt: skip
