"""Requests to forget that come from elsewhere: a conserver that was told to, a program that people ask through. Decision 0044."""

from __future__ import annotations

import json
from typing import Annotated, Any

from msgspec import Meta

from vcond.records.holds import HeldError
from vcond.records.identifiers import LONGEST, SCHEMES
from vcond.server.api.access import AccessRecord
from vcond.server.api.calls import Doors
from vcond.server.api.guard import RefusedHere
from vcond.server.api.model import A_UUID, Erasure, ErasurePlace, Query, Uuid
from vcond.server.api.routes import Asked, Route
from vcond.vcon import base64url

Whom = Annotated[
    str,
    Meta(
        pattern=f"^({A_UUID}|({SCHEMES}):.+)$",
        max_length=LONGEST,
        description="A call, or one of its vCons, by its whole uuid; or somebody, by tel:, sip:, mailto:, name: or uuid:, whose conversations all go.",
    ),
]


class _Erase(Query, frozen=True):
    of: Whom


class _Request(Query, frozen=True):
    id: Annotated[Uuid, Meta(description="As the answer to POST /erase has it.")]


class Erasures:
    """Routes over the admin socket's doors."""

    def __init__(self, doors: Doors, access: AccessRecord) -> None:
        self._doors, self._access = doors, access
        self.routes = [
            Route("POST", "/erase", "erase", _Erase, Erasure, "Forget a conversation, or all of somebody, in every place.", self._erase),
            Route("GET", "/erase/{id}", "erase", _Request, Erasure, "How far a request to forget is.", self._told),
        ]  # fmt: skip

    async def _erase(self, asked: Asked) -> Any:
        """Who asks is written down before, without what people are called by; what then is asked for is the receipt's to say."""
        of = asked.values.of
        kind, _, person = of.partition(":")
        await self._access.add(asked.who.name, "erase", kind if person else of, asked.request.remote or "")
        try:
            return _told(await self._doors.writes["forget"]({"call": of}))
        except HeldError as why:
            raise RefusedHere(409, "held", str(why)) from None

    async def _status(self, id_: str) -> dict[str, Any]:
        receipt: dict[str, Any] = await self._doors.reads["receipt"]({"id": id_})
        if "payload" not in receipt:
            return receipt
        said: dict[str, Any] = json.loads(base64url.decoded(receipt["payload"]))
        return said

    async def _told(self, asked: Asked) -> Any:
        return _told(await self._status(asked.values.id))


def _told(row: dict[str, Any]) -> Erasure:
    """Of what the doors say, or of a receipt, which names the request ``uuid``."""
    places = [ErasurePlace(one["place"], one["state"], one["reason"], one["next_try"]) for one in row["places"]]
    calls = [one["call"] for one in row["conversations"]]
    return Erasure(row["receipt"], row["state"], row["asked_at"], row["ended_at"], calls, places)
