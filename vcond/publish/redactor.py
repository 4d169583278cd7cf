"""Makes the redacted form of vCons for the sinks that want it: once for all of them, kept on the disk until they have it.

See docs/decisions/0032.
"""

from __future__ import annotations

import asyncio
import hashlib
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final, Protocol

import structlog

from vcond.base import metrics
from vcond.base.errors import VcondError
from vcond.delivery.outbox_files import MOST
from vcond.publish.finder_apart import close
from vcond.publish.squeezer import stand_back
from vcond.redaction.contract import Finder
from vcond.redaction.finding import FinderError
from vcond.redaction.places import Place
from vcond.redaction.redact import Redacted, own_uuid, redact
from vcond.sdk.sink import OutgoingVcon, Refused, Retry
from vcond.storage.files import Files
from vcond.storage.whole_files import WholeFiles
from vcond.vcon import read, serialize, validate

log = structlog.get_logger()

ROUNDS: Final = 3
"""Times that a redacted vCon is looked at again, and more of it taken out."""
WAIT: Final = 120.0
"""Seconds that a sink waits for it; then it takes others, and this one is tried again later."""
ENDING: Final = "+redacted"
"""Of the kept file, behind the uuid of the vCon it was made from, and before what it was made by. No sink has such a name."""


class Look(Protocol):
    """The second look."""

    async def __call__(self, made: Redacted) -> list[Place] | None:
        """Where something secret is still to be heard; None = it could not be looked at now."""


class Redactor:
    """Shared by all sinks. One thread that stands back makes one recording at a time; second looks wait beside it."""

    def __init__(
        self,
        finders: Sequence[Finder],
        *,
        folder: Path,
        files: Files | None = None,
        tone: bool = False,
        look: Look | None = None,
        must_look: bool = False,
        software: str = "vcond",
        made_by: str = "",
    ) -> None:
        """``must_look``: what could not be looked at a second time waits. ``made_by``: another text for each configuration and
        version: what was made by another, and is not sent yet, is made anew.
        """
        self._finders, self._tone, self._look, self._must_look = list(finders), tone, look, must_look
        self._folder, self._files = folder, WholeFiles(files or Files())
        self._software, self._made_by = software, made_by
        self._closed = False
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="redact", initializer=stand_back)
        self._making: dict[str, asyncio.Task[bytes]] = {}
        """By uuid: two sinks that want the same vCon get the same. One that is out of here is not kept."""
        self._keeping = threading.Lock()

    def uuid(self, original: str) -> str:
        """Of the redacted vCon."""
        return own_uuid(original)

    async def redacted(self, record: OutgoingVcon) -> OutgoingVcon:
        """The redacted form of a vCon. Raises Refused when there is none that may leave, Retry while it is not made.

        What takes longer than a sink is to wait for goes on without it, and is there at a later try.
        """
        try:
            body = await asyncio.to_thread(self._kept, record.uuid)
            if body is None:
                body = await self._waited(record)
        except OSError as why:
            raise Retry("disk", answer=str(why.strerror)) from None
        return OutgoingVcon(own_uuid(record.uuid), body, hashlib.sha512(body).hexdigest())

    async def _waited(self, record: OutgoingVcon) -> bytes:
        making = self._making.get(record.uuid)
        if making is None:
            making = self._making[record.uuid] = asyncio.create_task(self._make(record), name=f"redact {record.uuid}")
            making.add_done_callback(lambda task: task.cancelled() or task.exception())  # perhaps nobody asks again
        done, _ = await asyncio.wait({making}, timeout=WAIT)
        if not done or making.cancelled():
            raise Retry("redacting", answer="its redacted form is being made")
        if self._making.get(record.uuid) is making:  # it failed, and is told once
            del self._making[record.uuid]
        return making.result()

    async def _make(self, record: OutgoingVcon) -> bytes:
        body = await self._made(record)
        await asyncio.to_thread(self._keep, record.uuid, body, asyncio.current_task())
        return body

    def forget(self, uuid: str) -> None:
        """The kept file of a vCon goes, also one that is being made. Not on the loop. Raises OSError."""
        with self._keeping:
            self._making.pop(uuid, None)
            for path in self._folder.glob(f"{uuid}{ENDING}*"):
                self._files.files.delete_one(str(path))

    def close(self) -> None:
        """Nothing more is made. May be called twice."""
        self._closed = True
        for making in list(self._making.values()):
            making.cancel()
        close(self._finders)
        self._thread.shutdown(wait=False, cancel_futures=True)

    async def _made(self, record: OutgoingVcon) -> bytes:
        made = await self._redacts(record, ())
        if self._look is not None:
            made = await self._looked(record, made, self._look)
        metrics.redactions_total.labels("made").inc()
        return await asyncio.to_thread(serialize, made.document)

    async def _looked(self, record: OutgoingVcon, made: Redacted, look: Look) -> Redacted:
        """With more taken out, until a look finds nothing."""
        also: list[Place] = []
        for _ in range(ROUNDS):
            try:
                found = await look(made)
            except FinderError as why:
                raise self._refused(str(why)) from why
            if found is None and self._must_look:
                raise Retry("second-look", answer="no speech worker had time to look at the redacted recording")
            if not found:
                made.report["second_look"] = "not done" if found is None else "clean"
                return made
            log.info("the second look found more secrets; they are redacted too", call=record.uuid, places=len(found))
            also += found
            made = await self._redacts(record, also)
        metrics.redactions_total.labels("held").inc()
        raise Refused(
            "second-look",
            answer=f"something is still found after {ROUNDS} looks",
            hint='listen to the call (vcond export), then vcond outbox discard it, or set redaction.second_look = "off" and retry',
            asked=False,
        )

    async def _redacts(self, record: OutgoingVcon, also: Sequence[Place]) -> Redacted:
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._redact, record, also)

    def _redact(self, record: OutgoingVcon, also: Sequence[Place]) -> Redacted:
        """Whatever goes wrong, nothing of it is handed on."""
        try:
            made = redact(
                read(record.body),
                self._finders,
                tone=self._tone,
                also=also,
                software=self._software,
                told=self._go_on,
            )
        except Retry:  # vcond ends
            raise
        except VcondError as why:
            raise self._refused(str(why)) from why
        wrong = [one for one in validate(made.document) if one.level == "error"]
        if wrong or made.document["uuid"] == record.uuid:
            metrics.redactions_total.labels("failed").inc()
            told = "; ".join(f"{one.path}: {one.message}" for one in wrong[:5])
            raise Refused(
                "cannot-redact", answer=f"the redacted vCon is not valid: {told}", hint="report it", asked=False
            )
        return made

    def _refused(self, why: str) -> Refused:
        self._go_on()
        metrics.redactions_total.labels("failed").inc()
        return Refused("cannot-redact", answer=why, hint="mend what it says, then: vcond outbox retry", asked=False)

    def _go_on(self, _done: int = 0, _of: int = 0) -> None:
        """Between two pieces of a recording: the end of the daemon does not wait for the others."""
        if self._closed:
            raise Retry("redacting", answer="vcond ends")

    def _file(self, uuid: str) -> Path:
        return self._folder / f"{uuid}{ENDING}{self._made_by}"

    def _kept(self, uuid: str) -> bytes | None:
        path = self._file(uuid)
        return self._files.read(path, MOST) if path.exists() else None

    def _keep(self, uuid: str, body: bytes, making: object) -> None:
        """Unless it was forgotten meanwhile: nothing may be left of it."""
        with self._keeping:
            if self._making.get(uuid) is not making:
                raise Retry("redacting", answer="it was forgotten meanwhile")
            self._files.make_folder(self._folder)
            self._files.publish(self._file(uuid), body)
            del self._making[uuid]
