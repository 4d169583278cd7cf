"""``[records]``: how people are recognized, and where the ledger's heads go."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta


class RecordsConfig(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """``[records]``: the ledger of who received what, and the index of who is in which vCon."""

    region: Annotated[str, Meta(pattern=r"^([A-Z]{2})?$")] = ""
    """Country of numbers that are dialled without a country code, as ``US``: so that ``(212) 555-0143`` and ``+12125550143``
    are the same person. Empty = only numbers with a country code are recognized in all their spellings."""
    heads: Annotated[str, Meta(max_length=4096, pattern=r"^(/.+)?$")] = ""
    """The file that is told every hour how far the ledger reaches, signed where ``[seal]`` has a key; best on another disk.
    Empty = ``<state_dir>/ledger-heads.jsonl``."""
