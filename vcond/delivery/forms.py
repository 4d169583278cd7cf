"""What each sink gets of a vCon: plain in its profile, signed, or signed and encrypted.

The outbox holds the vCon as it was built; that is the truth, and its SHA-512 is in the ledger. A sink that wants another
form gets it made from those bytes. Signatures of some kinds and all encryption come out different each time, and a receiver
must never see two records under one uuid: so a made form is kept on disk before it is sent, and sent again as it is.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
from collections.abc import Callable
from pathlib import Path

from vcond.base.errors import OperatorError, VcondError
from vcond.delivery.outbox_files import MOST
from vcond.sdk.sink import Confirming, Form, OutgoingVcon, Receipt, Refused, Retry, Seen, SinkPlugin
from vcond.storage.files import Files
from vcond.storage.whole_files import WholeFiles
from vcond.vcon import Profile, fit, preflight, read, serialize
from vcond.vcon.profiles import CONSERVER_LIMIT


class FormedSink:
    """A sink that gets its own form of every vCon."""

    def __init__(
        self,
        sink: SinkPlugin,
        *,
        seal: Callable[[bytes], bytes] | None = None,
        form: Form = "plain",
        folder: Path,
        domain: str = "",
        files: Files | None = None,
    ) -> None:
        """``seal`` makes the signed or encrypted ``form`` of a vCon's bytes; without it the sink gets the plain one.

        ``folder`` keeps made forms until ``forget``; ``domain`` is that of extensions, for the conserver's profile.
        """
        self._sink = sink
        self._seal, self._form = seal, form
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
        return self._seal is not None

    async def deliver(self, record: OutgoingVcon) -> Receipt:
        """Make the form, keep it if it cannot be made twice, hand it over. Raises Retry or Refused."""
        body = await asyncio.to_thread(self._formed, record)
        return await self._sink.deliver(OutgoingVcon(record.uuid, body, hashlib.sha512(body).hexdigest(), self._form))

    async def erase(self, uuid: str) -> Receipt:
        """Make the receiver forget it, and our made form of it."""
        await asyncio.to_thread(self.forget, uuid)
        return await self._sink.erase(uuid)

    async def has(self, uuid: str) -> bool:
        """Whether the receiver still has a vCon. Raises Retry or Refused."""
        if not isinstance(self._sink, Confirming):
            raise Refused("cannot-be-asked")
        return await self._sink.has(uuid)

    async def look(self) -> list[Seen]:
        """All that can be found about the receiver without handing anything over. Raises Retry or Refused."""
        return await self._sink.look()

    async def close(self) -> None:
        """Let go of connections."""
        await self._sink.close()

    def forget(self, uuid: str) -> None:
        """The vCon is delivered everywhere: its kept form goes."""
        with contextlib.suppress(FileNotFoundError):
            self._files.files.delete_one(str(self._kept(uuid)))

    def _kept(self, uuid: str) -> Path:
        return self._folder / f"{uuid}.{self.name}"

    def _formed(self, record: OutgoingVcon) -> bytes:
        try:
            return self._plain(record.body) if self._seal is None else self._sealed(record, self._seal)
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

    def _sealed(self, record: OutgoingVcon, seal: Callable[[bytes], bytes]) -> bytes:
        kept = self._kept(record.uuid)
        if kept.exists():
            return self._files.read(kept, MOST)
        body = seal(record.body)
        self._files.make_folder(self._folder)
        self._files.publish(kept, body)
        return body
