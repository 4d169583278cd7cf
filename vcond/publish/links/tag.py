"""``tag``: the vCon with more tags, as ``name:value`` in its attachment ``tags``, which conservers and their links read."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta

from vcond.base.errors import ConfigError
from vcond.sdk.link import LinkedVcon, LinkOptions

_Name = Annotated[str, Meta(min_length=1, max_length=128, pattern=r"^[^:\x00-\x1f]+$")]
PURPOSE: Final = "tags"


class TagSettings(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """``settings`` of its section."""

    tags: Annotated[dict[_Name, Annotated[str, Meta(max_length=256)]], Meta(min_length=1, max_length=64)]
    """By name."""


class TagLink:
    """Which vCons get them is the ``match`` of its section. One that has them all already stays alone."""

    def __init__(self, options: LinkOptions) -> None:
        """Raises ConfigError."""
        try:
            self._tags = msgspec.convert(options.settings, TagSettings).tags
        except msgspec.ValidationError as why:
            raise ConfigError(f'{why}; as in settings = {{ tags = {{ team = "support" }} }}', "settings") from None

    def work(self, vcon: dict[str, Any]) -> Iterator[LinkedVcon]:
        """None, or one."""
        attachments = [one for one in _list(vcon, "attachments") if isinstance(one, dict)]
        place = next(
            (at for at, one in enumerate(attachments) if PURPOSE in (one.get("purpose"), one.get("type"))), None
        )
        before = _body(attachments[place]) if place is not None else []
        after = self._added(before)
        if after == before:
            return
        if place is None:
            attachments.append(_attachment(vcon, after))
        else:
            attachments[place] = {
                **attachments[place],
                "encoding": "json",
                "mediatype": "application/json",
                "body": after,
            }
        yield LinkedVcon({**vcon, "attachments": attachments}, "amended")

    def _added(self, before: Any) -> Any:
        """As an array of ``name:value``, or as the object that some adapters write."""
        if isinstance(before, dict):
            return {**before, **self._tags}
        return [*before, *(tag for name, value in self._tags.items() if (tag := f"{name}:{value}") not in before)]


def _body(attachment: dict[str, Any]) -> Any:
    """Its tags; an empty array where there is none that can be read."""
    body = attachment.get("body")
    if isinstance(body, str):
        with suppress(ValueError, RecursionError):
            body = msgspec.json.decode(body)
    return body if isinstance(body, (list, dict)) else []


def _attachment(vcon: dict[str, Any], tags: Any) -> dict[str, Any]:
    """By whoever is the last in the list of parties: vcond and others write the machine there that recorded."""
    dialog = next((one for one in _list(vcon, "dialog") if isinstance(one, dict) and "start" in one), {})
    start = dialog.get("start") or vcon.get("created_at")
    of = {"party": max(0, len(_list(vcon, "parties")) - 1), "dialog": 0}
    return {"purpose": PURPOSE, "start": start, **of, "mediatype": "application/json", "encoding": "json", "body": tags}


def _list(vcon: dict[str, Any], name: str) -> list[Any]:
    found = vcon.get(name)
    return found if isinstance(found, list) else []
