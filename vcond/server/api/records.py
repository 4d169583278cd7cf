"""Finished vCons: their list, one of them, its audio, its transcript. Each that is read is in the access record first."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, Final, Literal, TypeVar
from weakref import WeakSet

from aiohttp import web
from msgspec import Meta

from vcond.base.errors import OperatorError
from vcond.base.time import Instant, rfc3339
from vcond.delivery import Entry, Outbox
from vcond.sdk.link import PREFIX
from vcond.server.api.access import AccessRecord
from vcond.server.api.guard import Guard, RefusedHere
from vcond.server.api.model import Limit, Peaks, Query, Uuid, VconFinding, VconRow
from vcond.server.api.recording import Recording, plays
from vcond.server.api.routes import Asked, Route
from vcond.server.api.stored import HERE, LARGEST, Stored
from vcond.server.api.transcript import MEDIA, TextForm, transcript
from vcond.vcon import Document, read, validate

T = TypeVar("T")
REMEMBERED: Final = 2
"""vCons that are kept decoded: a player asks for many ranges of one."""
AT_ONCE: Final = 2
"""vCons that are decoded at once."""
MOST_OPEN: Final = 3 * LARGEST
"""Bytes of vCons in memory at once, those on their way to slow clients included."""
IDLE: Final = 60.0
"""Seconds that a vCon stays in memory when nobody asks for it any more."""


class _List(Query, frozen=True):
    before: Annotated[str, Meta(max_length=64, description="The last vCon of the page before.")] = ""
    limit: Limit = 100


class _One(Query, frozen=True):
    uuid: Uuid


class _Transcript(Query, frozen=True):
    uuid: Uuid
    form: TextForm = "text"


class _Audio(Query, frozen=True):
    uuid: Uuid
    dialog: Annotated[int, Meta(ge=0, le=10_000, description="Index of the dialog.")]
    form: Annotated[
        Literal["wav", "original"],
        Meta(description="wav: 16-bit PCM, which every browser plays. original: the bytes as they are in the vCon."),
    ] = "wav"


class _Peaks(Query, frozen=True):
    uuid: Uuid
    dialog: Annotated[int, Meta(ge=0, le=10_000, description="Index of the dialog.")]
    count: Annotated[int, Meta(ge=1, le=4000, description="Stretches that the recording is divided into.")] = 1000


@dataclass(eq=False)
class _Opened:
    """A vCon in memory, and the recordings of it that were asked for."""

    body: bytes
    document: Document
    recordings: dict[int, Recording]


_SENT: Final = web.ResponseKey("opened", _Opened)


class Records:
    """Reads what the outbox has."""

    def __init__(
        self, outbox: Outbox, stored: Stored, access: AccessRecord, guard: Guard, sign: Callable[[bytes], bytes] | None
    ) -> None:
        """``sign``: as vCons are signed; None where ``[seal]`` has no key."""
        self._outbox, self._stored, self._access, self._guard, self._sign = outbox, stored, access, guard, sign
        self._kept: OrderedDict[str, _Opened] = OrderedDict()
        self._open: WeakSet[_Opened] = WeakSet()
        self._idle: asyncio.TimerHandle | None = None
        self._turn = asyncio.Semaphore(AT_ONCE)
        json, audio = ("application/json",), ("audio/wav", "audio/flac", "audio/ogg")
        self.routes = [
            Route("GET", "/vcons", "read", _List, list[VconRow], "List vCons, the newest first, page by page.", self._list),
            Route("GET", "/vcons/{uuid}", "read", _One, Any, "A finished vCon, as it is delivered.", self._vcon, json),
            Route("GET", "/vcons/{uuid}/signed", "read", _One, Any, "A finished vCon, signed as `[seal]` says (general JWS).", self._signed, json),
            Route("GET", "/vcons/{uuid}/outline", "read", _One, Any, "A vCon without its recordings; `audio` says where one was.", self._outline),
            Route("GET", "/vcons/{uuid}/findings", "read", _One, list[VconFinding], "What a check of a vCon finds.", self._findings),
            Route("GET", "/vcons/{uuid}/transcript", "read", _Transcript, str, "What was said, as text, WebVTT or SubRip.", self._text, tuple(MEDIA.values())),
            Route("GET", "/vcons/{uuid}/audio/{dialog}", "read", _Audio, bytes, "A dialog's recording. Ranges of bytes can be asked for.", self._audio, audio),
            Route("GET", "/vcons/{uuid}/peaks/{dialog}", "read", _Peaks, Peaks, "A dialog's waveform.", self._peaks),
        ]  # fmt: skip

    async def _list(self, asked: Asked) -> Any:
        query = asked.values
        found = await self._outbox.list(before=query.before or None, limit=query.limit)
        return [
            VconRow(one.uuid, one.bytes, rfc3339(Instant(one.published_at)), one.stage,
                    sum(sink.state == "delivered" for sink in sinks), len(sinks),
                    one.facts.get("ingress_list", ""), one.facts.get("link", ""))
            for one in found
            for sinks in [[sink for sink in one.sinks if sink.state != "unmatched" and not sink.sink.startswith(PREFIX)]]
        ]  # fmt: skip

    async def _vcon(self, asked: Asked) -> Any:
        return _attached(await self._opened(asked, "vcon"), f"{asked.values.uuid}.vcon.json")

    async def _signed(self, asked: Asked) -> Any:
        """Made of what is delivered, each time it is asked for: what sinks were sent may have another signature."""
        if (sign := self._sign) is None:
            raise LookupError("vCons are not signed here: set seal.key and seal.certificates, then restart vcond")
        opened = await self._opened(asked, "vcon")
        self._make_room(2 * len(opened.body))
        try:
            made = _Opened(await self._working(lambda: sign(opened.body)), {}, {})
        except OperatorError as why:  # as of a certificate that has expired
            raise web.HTTPServiceUnavailable(text=str(why)) from None
        self._open.add(made)
        return _attached(made, f"{asked.values.uuid}.signed.vcon.json")

    async def _outline(self, asked: Asked) -> Any:
        document = (await self._opened(asked, "vcon")).document
        dialogs = document.get("dialog")
        if not isinstance(dialogs, list):
            return document
        return document | {"dialog": [_light(one) if isinstance(one, dict) else one for one in dialogs]}

    async def _findings(self, asked: Asked) -> Any:
        opened = await self._opened(asked, "vcon")
        found = await self._working(lambda: validate(opened.document))
        return [VconFinding(one.level, one.path, one.code, one.message) for one in found]

    async def _text(self, asked: Asked) -> Any:
        opened, form = await self._opened(asked, "transcript"), asked.values.form
        text = await self._working(lambda: transcript(opened.document, form))
        return web.Response(text=text, content_type=MEDIA[form], charset="utf-8")

    async def _peaks(self, asked: Asked) -> Any:
        _, recording = await self._recording(asked)
        channels = await self._working(lambda: recording.peaks(asked.values.count))
        return Peaks(round(recording.frames / recording.rate, 3), channels)

    async def _audio(self, asked: Asked) -> Any:
        opened, recording = await self._recording(asked)
        wav = asked.values.form == "wav"
        size = recording.size if wav else len(recording.file)
        start, stop, headers = wanted(asked.request, size)
        response = web.StreamResponse(status=206 if headers else 200, headers=headers | {"Accept-Ranges": "bytes"})
        response.content_type = "audio/wav" if wav else recording.mediatype
        response.content_length = stop - start
        response[_SENT] = opened
        pieces = recording.wav(start, stop) if wav else iter([recording.file[start:stop]])
        await response.prepare(asked.request)
        try:
            while (piece := await self._working(lambda: next(pieces, None))) is not None:
                await response.write(piece)
                if not await self._still(asked) and asked.request.transport is not None:
                    asked.request.transport.abort()  # it is not whole, and must not look so
        except ConnectionError as left:  # a player has what it wanted
            left.__traceback__ = None  # a circle, which would keep the vCon open until the collector comes by
        return response

    async def _still(self, asked: Asked) -> bool:
        """Whether a vCon may be read on: it is not forgotten, nor the token revoked."""
        entry = await self._outbox.get(asked.values.uuid)
        return entry is not None and entry.stage in HERE and self._guard.holds(asked.who)

    async def _recording(self, asked: Asked) -> tuple[_Opened, Recording]:
        opened, dialog = await self._opened(asked, "audio"), asked.values.dialog
        found = opened.recordings.get(dialog)
        if found is None:
            found = opened.recordings[dialog] = await self._working(lambda: Recording(opened.document, dialog))
        return opened, found

    async def _opened(self, asked: Asked, what: str) -> _Opened:
        """A vCon that somebody may read; that they do is written down. Raises LookupError, StorageError, ValueError."""
        uuid = asked.values.uuid
        entry = await self._outbox.get(uuid)
        if entry is None:
            raise LookupError("no vCon has this uuid")
        if entry.stage not in HERE:
            self._kept.pop(entry.sha512, None)
            raise web.HTTPGone(
                text="the file of this vCon is not here any more: delivery.keep_days sets how long it is kept"
            )
        if entry.bytes > LARGEST:
            raise web.HTTPRequestEntityTooLarge(LARGEST, entry.bytes, text=f"this vCon has more than {LARGEST} bytes")
        await self._access.add(asked.who.name, what, uuid, asked.request.remote or "")
        opened = self._kept.get(entry.sha512)
        if opened is None:
            self._make_room(entry.bytes)
            opened = await self._working(lambda: self._read(entry))
            self._open.add(opened)
        self._kept[entry.sha512] = opened
        self._kept.move_to_end(entry.sha512)
        while len(self._kept) > REMEMBERED:
            self._kept.popitem(last=False)
        if self._idle is not None:
            self._idle.cancel()
        self._idle = asyncio.get_running_loop().call_later(IDLE, self._kept.clear)
        return opened

    def _make_room(self, wanted: int) -> None:
        """Raises RefusedHere."""
        while sum(len(one.body) for one in self._open) + wanted > MOST_OPEN:
            if not self._kept:
                raise RefusedHere(429, "memory", "too many large vCons are being read", 10)
            self._kept.popitem(last=False)

    def _read(self, entry: Entry) -> _Opened:
        """Blocks."""
        body = self._stored.read(entry.uuid)
        return _Opened(body, read(body, LARGEST), {})

    async def _working(self, job: Callable[[], T]) -> T:
        """What takes long, not on the loop, and not many at once."""
        async with self._turn:
            return await asyncio.to_thread(job)


def _attached(opened: _Opened, name: str) -> web.Response:
    response = web.Response(
        body=opened.body,
        content_type="application/json",
        headers={"Content-Disposition": f'attachment; filename="{name}"'},
    )
    response[_SENT] = opened  # counted as in memory until it is sent
    return response


def _light(dialog: dict[str, Any]) -> dict[str, Any]:
    """Without what a recording weighs."""
    if dialog.get("encoding") != "base64url":
        return dialog
    return {key: value for key, value in dialog.items() if key != "body"} | {"audio": plays(dialog.get("mediatype"))}


def wanted(request: web.Request, size: int) -> tuple[int, int, dict[str, str]]:
    """Start and stop of what is asked for, and the header that says so; all of it without a range (RFC 9110, section 14).

    Of several ranges none is taken: all of it is sent, as the RFC allows. Raises HTTPRequestRangeNotSatisfiable.
    """
    given = request.headers.get("Range", "")
    unit, _, rest = given.partition("=")
    first, dash, last = (part.strip() for part in rest.partition("-"))
    good = all(part.isascii() and part.isdecimal() and len(part) < 19 for part in (first, last) if part)
    if unit.strip().lower() != "bytes" or not dash or not (first or last) or not good:
        return 0, size, {}
    start, stop = (
        (int(first), min(int(last) + 1, size) if last else size) if first else (max(size - int(last), 0), size)
    )
    if first and last and int(last) < int(first):
        return 0, size, {}  # invalid: as if there were none
    if start >= size or start >= stop:
        raise web.HTTPRequestRangeNotSatisfiable(
            headers={"Content-Range": f"bytes */{size}"}, text=f"there are {size} bytes"
        )
    return start, stop, {"Content-Range": f"bytes {start}-{stop - 1}/{size}"}
