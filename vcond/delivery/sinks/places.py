"""Where a sink puts a vCon: a template that holds the uuid and may hold the day, and nothing that names a person. Pure."""

from __future__ import annotations

import re
from typing import Final

from vcond.base.errors import ConfigError
from vcond.base.time import dated, rfc3339
from vcond.sdk.sink import Refused
from vcond.storage.names import is_uuid

FIELDS: Final = ("{uuid}", "{date}")
PROBE: Final = "00000000-0000-4000-8000-000000000000"
"""A uuid that no vCon has: what is at its place shows the way without touching anything."""
OF_URL: Final = r"A-Za-z0-9._~:/%\[\]-"
OF_PATH: Final = "A-Za-z0-9._/=-"
"""Characters of places besides fields."""


class Places:
    """The template of one sink."""

    def __init__(self, template: str, at: str, *, allowed: str) -> None:
        """``allowed``: ``OF_URL``, ``OF_PATH`` or others, as inside of a regular expression's ``[]``.

        Raises ConfigError for the key ``at``.
        """
        bare = template
        for field in FIELDS:
            bare = bare.replace(field, "")
        if "{uuid}" not in template:
            raise ConfigError("must contain {uuid}: each vCon has a place of its own", at)
        if not re.fullmatch(rf"[{allowed}]*", bare):
            raise ConfigError(f"may have {' and '.join(FIELDS)}, and of other characters only {allowed}", at)
        if {"", ".", ".."} & set(template.partition("://")[2].split("/") if "://" in template else template.split("/")):
            raise ConfigError("must not have . or .. or an empty part in its path", at)
        self._template = template

    def of(self, uuid: str) -> str:
        """The place of a vCon, the same whenever it is asked. Raises Refused for what is no uuid."""
        if not is_uuid(uuid):
            raise Refused("not-a-uuid")
        return self._template.replace("{uuid}", uuid).replace("{date}", day(uuid))


def day(uuid: str) -> str:
    """``YYYY/MM/DD`` of a uuid that carries its time (RFC 9562 sections 5.7, 5.8), in UTC, else ``undated``."""
    at = dated(uuid)
    return "undated" if at is None else rfc3339(at)[:10].replace("-", "/")
