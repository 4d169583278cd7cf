"""``[records]``: how people are recognized, and where the ledger's heads go. ``[[retention]]``: how long what there is stays."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

Days = Annotated[float, Meta(ge=0, le=36_500)]


class RecordsConfig(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """``[records]``: the ledger of who received what, and the index of who is in which vCon."""

    region: Annotated[str, Meta(pattern=r"^([A-Z]{2})?$")] = ""
    """Country of numbers that are dialled without a country code, as ``US``: so that ``(212) 555-0143`` and ``+12125550143``
    are the same person. Empty = only numbers with a country code are recognized in all their spellings."""
    heads: Annotated[str, Meta(max_length=4096, pattern=r"^(/.+)?$")] = ""
    """The file that is told every hour how far the ledger reaches, signed where ``[seal]`` has a key; best on another disk.
    Empty = ``<state_dir>/ledger-heads.jsonl``."""


class Keep(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """Days after a vCon was made; left out = as long as without a rule."""

    journal: Days | None = None
    """A journal that stays although every sink has its vCon: one whose recording fits in no vCon."""
    edge: Days | None = None
    """Its file in the outbox, when every sink has it. At most ``delivery.keep_days``, after which it goes in any case."""
    media: Days | None = None
    """Its recordings in ``record.media_dir``."""
    sinks: Annotated[dict[Annotated[str, Meta(min_length=1, max_length=64)], Days], Meta(max_length=100)] = {}
    """By name of a sink, when it is told to forget it: ``sinks = { archive = 365 }``."""
