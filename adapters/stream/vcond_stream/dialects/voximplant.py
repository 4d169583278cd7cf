"""Voximplant: several streams on one socket, each with a tag that the scenario gives it.

Source: Voximplant, "Media stream format". Shapes of ``media`` and ``stop`` were not seen: numbers may be texts. A tag is a
party. After its ``stop`` another may begin; sockets may stay when a call ends: closing, or ``idle_timeout``, is the end.
The call is named by the parameter ``call`` of a start, or by ``?call=`` of the URL; else each socket is a call.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from vcond.sdk.contract import MillisClock
from vcond.sdk.media_stream import Began, Closed, Format, Frame, Opened, Refused, Said, understand
from vcond_stream import fields
from vcond_stream.clone import Clone
from vcond_stream.handshake import Handshake

SIDES = {"caller": "caller", "callee": "callee"}
"""Tags that say who it is; others are parties by their own name."""


class Voximplant(Clone):
    """One socket."""

    name: ClassVar[str] = "voximplant"
    encoding: ClassVar[str] = "PCM16"
    ends_by_closing: ClassVar[bool] = True
    numbered: ClassVar[bool] = False

    def __init__(self, handshake: Handshake) -> None:
        super().__init__(handshake)
        self._began = False

    def start(self, said: dict[str, Any]) -> Said | Sequence[Said]:
        """A tagged stream begins; with the first one the call does."""
        body = fields.part(said, "start")
        tag = fields.ident(body, "tag") or "inbound"
        form = self.form(fields.part(body, "mediaFormat"))
        if isinstance(form, Refused):
            return form
        opened = Opened(tag, Format(SIDES.get(tag, f"tag:{tag}"), *form, MillisClock()))
        if self._began:
            return opened
        self._began = True
        custom = fields.extras(body, "customParameters")
        call = fields.ident(custom, "call") or fields.ident(self.handshake.query, "call") or self.handshake.id
        told = understand({name: value for name, value in custom.items() if name != "call"})
        facts = {f"parameter.{name}": value for name, value in told.others.items()}
        began = Began(
            call=f"{self.name}:{call}",
            stream=self.handshake.id,
            tracks={},
            announced=(),
            told=told,
            facts={"dialect": self.name, "call": call, **facts},
            sides=False,
        )
        return began, opened

    def media(self, said: dict[str, Any]) -> Said:
        """Audio of a tag."""
        body = fields.part(said, "media") or said
        tag = fields.ident(body, "tag") or fields.ident(said, "tag") or "inbound"
        return Frame(tag, fields.number(body, "chunk"), self.stamp(body), fields.audio(body, "payload"))

    def stop(self, said: dict[str, Any]) -> Said | None:
        """A tag is over."""
        return Closed(fields.ident(fields.part(said, "stop"), "tag") or "inbound")
