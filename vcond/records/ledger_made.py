"""What the ledger says of a vCon that was made, out of the vCon itself: which engines heard it, on what basis, until when."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Any, Final

import msgspec

from vcond.records.ledger import LONGEST, Basis, Made, Text
from vcond.vcon import Document
from vcond.vcon.model import LAWFUL_BASIS

MOST: Final = 64
"""Of each kind that a row has."""


def made_of(document: Document, *, kind: str = "original", machine: str = "", adapter: str = "") -> Made:
    """As a row of the ledger has it. What others may have written into a vCon is read as far as it makes sense."""
    analyses = _objects(document.get("analysis"))[:MOST]
    texts = dict.fromkeys(
        Text(str(one["vendor"])[:LONGEST], _text(one.get("product"))) for one in analyses if one.get("vendor")
    )
    texts |= dict.fromkeys(islice((text for one in analyses for text in _elsewhere(one)), MOST))
    return Made(kind, machine, adapter, list(texts), list(islice(bases_of(document), MOST)))


def _elsewhere(analysis: dict[str, Any]) -> Iterator[Text]:
    """What other machines transcribed: ``vosk/small-en@gpu-1`` among the engines of a WTF transcript."""
    at: Any = analysis
    for name in ("body", "metadata", "options", "engines"):
        at = at.get(name) if isinstance(at, dict) else None
    for one in at[:MOST] if isinstance(at, list) else ():
        engine, _, rest = _text(one).partition("/")
        model, _, machine = rest.rpartition("@")
        if engine and machine and model:
            yield Text(engine, f"{model} at {machine}"[:LONGEST])


def bases_of(document: Document) -> Iterator[Basis]:
    """Every ``lawful_basis`` (draft-howe-vcon-lawful-basis-02, and as earlier writers have it) with its grants by purpose."""
    for one in _objects(document.get("attachments")):
        if LAWFUL_BASIS not in (one.get("purpose"), one.get("type")):
            continue
        body = one.get("body")
        if isinstance(body, str):
            try:
                body = msgspec.json.decode(body)
            except (ValueError, RecursionError):
                continue
        if not isinstance(body, dict) or not isinstance(body.get("lawful_basis"), str):
            continue
        grants = [
            grant for grant in _objects(body.get("purpose_grants"))[:MOST] if isinstance(grant.get("purpose"), str)
        ]
        party, ends = one.get("party"), body.get("expiration")
        yield Basis(
            body["lawful_basis"][:LONGEST],
            party if isinstance(party, int) else 0,
            ends[:LONGEST] if isinstance(ends, str) else None,
            [grant["purpose"][:LONGEST] for grant in grants if grant.get("granted") is True],
            [grant["purpose"][:LONGEST] for grant in grants if grant.get("granted") is not True],
        )


def _objects(value: Any) -> list[dict[str, Any]]:
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []


def _text(value: Any) -> str:
    return value[:LONGEST] if isinstance(value, str) else ""
