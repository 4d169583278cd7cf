"""What each sink gets of a vCon: plain in its profile, signed, or signed and encrypted.

The outbox holds the vCon as it was built; that is the truth, and its SHA-512 is in the ledger. A sink that wants another
form gets it made from those bytes. Signatures of some kinds and all encryption come out different each time, and a receiver
must never see two records under one uuid: so a made form is kept on disk before it is sent, and sent again as it is.
"""

from __future__ import annotations

import asyncio
import contextlib
import glob
import hashlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Literal, Protocol

from vcond.base.errors import OperatorError, VcondError
from vcond.delivery.outbox_files import MOST
from vcond.sdk.sink import Confirming, Form, OutgoingVcon, Receipt, Refused, Retry, Seen, SinkPlugin
from vcond.storage.files import Files
from vcond.storage.whole_files import WholeFiles
from vcond.vcon import Profile, fit, preflight, read, serialize
from vcond.vcon.profiles import CONSERVER_LIMIT

Content = Literal["full", "redacted"]
"""What of a vCon a sink gets."""


class Redacting(Protocol):
    """Makes the redacted form of a vCon, the same for all sinks that want it."""

    def uuid(self, original: str) -> str:
        """Of the redacted form, also when it is not made."""

    async def redacted(self, record: OutgoingVcon) -> OutgoingVcon:
        """The redacted form. Raises Refused when there is none that may leave, Retry while it cannot be made."""

    def forget(self, uuid: str) -> None:
        """That of this vCon is needed no more. Raises OSError."""

    def close(self) -> None:
        """Nothing more is made. May be called twice."""


class FormedSink:
    """A sink that gets its own content and form of every vCon.

    One that wants the redacted content is never handed anything else: whatever the outbox sends it, first, again or from an
    earlier run, comes through here.
    """

    def __init__(
        self,
        sink: SinkPlugin,
        *,
        seal: Callable[[bytes], bytes] | None = None,
        form: Form = "plain",
        folder: Path,
        domain: str = "",
        files: Files | None = None,
        content: Content = "full",
        redactor: Redacting | None = None,
        redacted_uuid: Callable[[str], str] | None = None,
    ) -> None:
        """``seal`` makes the signed or encrypted ``form`` of a vCon's bytes; without it the sink gets the plain one.

        ``folder`` keeps made forms until ``forget``; ``domain`` is that of extensions, for the conserver's profile. Without a
        ``redactor`` a sink that wants the redacted content gets nothing. ``redacted_uuid``: of what a sink has that wanted it once.
        """
        self.content: Content = content
        self._redactor, self._redacted_uuid = redactor, redacted_uuid
        self._sink = sink
        self._seal = seal
        self.form: Form = form
        self._folder = folder
        self._files = WholeFiles(files or Files())
        self._domain = domain
        self.name = sink.name
        self.concurrency = sink.concurrency
        self.profile: str = sink.profile
        self.address = sink.address
        self.max_bytes = sink.max_bytes or CONSERVER_LIMIT
        """Of a vCon in the conserver's profile; audio that makes it larger is left out."""
        self.confirm_after = sink.confirm_after if isinstance(sink, Confirming) else 0.0
        """Seconds; 0 = it is never asked what it has, or cannot be."""

    @property
    def keeps(self) -> bool:
        """Whether there are made forms to forget."""
        return self._seal is not None or self.content == "redacted"

    async def deliver(self, record: OutgoingVcon) -> Receipt:
        """Make the content and form, keep what cannot be made twice, hand it over. Raises Retry or Refused."""
        chosen = record if self.content == "full" else await self._redacted(record)
        body = await asyncio.to_thread(self._formed, chosen, self._kept(record.uuid, chosen))
        sha512 = hashlib.sha512(body).hexdigest()
        made = OutgoingVcon(chosen.uuid, body, sha512, self.form)
        try:
            receipt = await self._sink.deliver(made)
        except Refused as why:
            if self.content == "full" or why.reason != "other-bytes-there":
                raise
            await self._sink.erase(made.uuid)  # an earlier redaction of it, as before finders were changed
            receipt = await self._sink.deliver(made)
        return replace(receipt, sent=f"{self.form} {sha512}")

    async def erase(self, uuid: str) -> Receipt:
        """Make the receiver forget it, and our made forms of it. A receiver may have wanted the other content before."""
        await asyncio.to_thread(self.forget, uuid)
        if not callable(getattr(self._sink, "erase", None)):
            raise Refused("cannot-erase")
        try:
            try:
                if self._redactor is not None:
                    await self._sink.erase(self._redactor.uuid(uuid))
                elif self._redacted_uuid is not None:
                    with contextlib.suppress(Refused):  # as far as is known it never had that one
                        await self._sink.erase(self._redacted_uuid(uuid))
            finally:  # one that stays, as a locked one, keeps no other
                last = await self._sink.erase(uuid)
        except NotImplementedError:
            raise Refused("cannot-erase", hint="its plug-in cannot erase: erase it there yourself") from None
        return last

    async def has(self, uuid: str) -> bool:
        """Whether the receiver still has a vCon. Raises Retry or Refused."""
        if not isinstance(self._sink, Confirming):
            raise Refused("cannot-be-asked")
        return await self._sink.has(uuid if self.content == "full" else self._redacts.uuid(uuid))

    async def look(self) -> list[Seen]:
        """All that can be found about the receiver without handing anything over. Raises Retry or Refused."""
        return await self._sink.look()

    async def close(self) -> None:
        """Let go of connections."""
        if self._redactor is not None:
            self._redactor.close()
        await self._sink.close()

    def forget(self, uuid: str) -> None:
        """The vCon is delivered everywhere: its kept forms go."""
        if self._redactor is not None:
            self._redactor.forget(uuid)
        kept = self._kept(uuid)
        for path in self._folder.glob(f"{glob.escape(kept.name)}*") if self.content == "redacted" else [kept]:
            with contextlib.suppress(FileNotFoundError):
                self._files.files.delete_one(str(path))

    @property
    def _redacts(self) -> Redacting:
        if self._redactor is None:
            raise Refused("cannot-redact", hint="restart vcond, then: vcond outbox retry", asked=False)
        return self._redactor

    async def _redacted(self, record: OutgoingVcon) -> OutgoingVcon:
        made = await self._redacts.redacted(record)
        if made.uuid == record.uuid or made.body == record.body:
            raise Refused("cannot-redact", answer="the redacted vCon is the original", hint="report it", asked=False)
        return made

    def _kept(self, uuid: str, redacted: OutgoingVcon | None = None) -> Path:
        """Of another name for each content: a sink that changed what it wants, or is to get what was redacted anew, must not be
        sent what was made before.
        """
        ending = "" if self.content == "full" else f"+redacted{redacted.sha512[:16] if redacted else ''}"
        return self._folder / f"{uuid}.{self.name}{ending}"

    def _formed(self, record: OutgoingVcon, kept: Path) -> bytes:
        try:
            return self._plain(record.body) if self._seal is None else self._sealed(record, self._seal, kept)
        except OSError as why:
            raise Retry("disk", answer=str(why.strerror)) from None
        except VcondError as why:
            if isinstance(why, Refused | Retry):
                raise
            hint = "correct [seal] in the configuration, then: vcond outbox retry"
            raise Refused(
                "cannot-seal", answer=str(why), hint=hint if isinstance(why, OperatorError) else "", asked=False
            ) from why

    def _plain(self, body: bytes) -> bytes:
        if self.profile != Profile.CONSERVER:
            return body
        document = read(body)
        made = fit(document, Profile.CONSERVER, domain=self._domain, limit=self.max_bytes)
        wrong = [one for one in preflight(made, limit=self.max_bytes) if one.path != "$"]  # of its size the sink judges
        if wrong:
            raise Refused("preflight", answer="; ".join(f"{one.path}: {one.message}" for one in wrong[:5]), asked=False)
        return body if made == document else serialize(made)

    def _sealed(self, record: OutgoingVcon, seal: Callable[[bytes], bytes], kept: Path) -> bytes:
        if kept.exists():
            return self._files.read(kept, MOST)
        body = seal(record.body)
        self._files.make_folder(self._folder)
        self._files.publish(kept, body)
        return body
