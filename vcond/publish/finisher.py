"""From an ended call to a vCon in the outbox; from a delivered vCon to a removed journal.

Every step can be done again: the uuid is fixed, ``build`` is deterministic, ``publish`` is idempotent. Whatever
interrupts it, the next start does it from the journal.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import threading
from collections import Counter
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Protocol

import numpy as np
import structlog

from vcond.base import metrics
from vcond.base.errors import ConfigError, StorageError
from vcond.base.time import EPOCH, SECOND, Instant
from vcond.call import events as ev
from vcond.call.causes import Disposition
from vcond.call.ids import uuid8
from vcond.call.state import Call, Track, as_published, fold
from vcond.capture.live_call import CoreCall
from vcond.capture.live_feed import Bus, Line
from vcond.config.schema import RecordConfig
from vcond.delivery import ConflictError, Entry
from vcond.journal import CallJournal
from vcond.media.codecs import Pcm
from vcond.publish.amender import Amender, Reopening, Settling
from vcond.publish.media_files import publish
from vcond.vcon import BuildOptions, Document, Finding, build, build_with_media, serialize, validate

log = structlog.get_logger()

MAPPED = 3600 * 8_000
"""Samples from which on a track is not read into memory as a whole."""
LONGEST_READ = 10 * 3600 * 48_000
"""Samples; what a track of a merged call has beyond stays at the edge."""
AT_ONCE = 2
"""vCons built at the same time: each holds its call's audio in memory."""
IN_HAND = 16
"""vCons in memory at the same time while a disk does not take them."""
RETRY_FIRST, RETRY_MOST = 1.0, 60.0
TRIES, AGAIN = 2, 600.0
"""How often a call that could not be finished is tried again before the next start, and after how many seconds."""


class Samples(Protocol):
    """Where audio is read from."""

    def read(self, track_file: str, start: int, stop: int, /) -> Pcm:
        """Samples of a file; zeros where nothing is."""
        ...


def read_track(journal: Samples, track: Track) -> Pcm:
    """All samples of a track, the first at the call's zero."""
    start = max(0, -track.shift)
    stop = min(max(start, track.samples - track.shift), start + LONGEST_READ)
    pcm = journal.read(track.file, start, stop)
    return np.concatenate([np.zeros(track.shift, np.int16), pcm]) if track.shift > 0 else pcm


def _audio(journal: CallJournal, track: Track) -> Pcm:
    """As ``read_track``; a very long track is mapped, so that it costs memory only where it is used."""
    start = max(0, -track.shift)
    length = min(track.samples - track.shift, journal.length(track.file)) - start
    if length < MAPPED or track.shift > 0:
        return read_track(journal, track)
    return np.memmap(journal.folder / track.file, "<i2", "r", offset=2 * start, shape=(length,))


def _stand_back() -> None:
    """This thread squeezes audio; capture and speech come first."""
    with contextlib.suppress(OSError):  # who may not be polite works all the same
        thread = threading.get_native_id()
        os.setpriority(os.PRIO_PROCESS, thread, max(10, os.getpriority(os.PRIO_PROCESS, thread)))


def _only_here(document: Document) -> bool:
    """Whether a call's recording is in no vCon and under no URL."""
    tags = [item.get("body", []) for item in document.get("attachments", []) if item.get("purpose") == "tags"]
    return any("vcond_audio:edge" in body for body in tags)


def build_options(config: RecordConfig, *, amended: bool = False) -> BuildOptions:
    """What the operator decided about records."""
    return BuildOptions(
        amended=amended,
        inline_limit=config.inline_limit,
        sip_domain=config.sip_domain,
        org=config.org,
        lawful_basis=config.lawful_basis or None,
    )


def check_record(config: RecordConfig) -> None:
    """Find out now, not with the first call, that what the operator adds to every vCon is wrong. Raises ConfigError."""
    opened = ev.CallOpened(
        at=EPOCH, call=str(uuid8(0, 0, "example.com")), adapter="check", key="check", recorder="check"
    )
    call = fold(
        [opened, ev.PartyJoined(at=EPOCH, party=0, key="a"), ev.CallEnded(at=EPOCH, disposition=Disposition.BUSY)]
    )
    for finding in validate(build(call, {}, build_options(config))):
        if finding.level == "error":
            raise ConfigError(f"{finding.path}: {finding.message}", "record")


class Publishing(Protocol):
    """What the finisher uses of the outbox."""

    async def publish(self, uuid: str, body: bytes) -> str:
        """Durable when it returns: the SHA-512 of the body in hex. Raises StorageError, ConflictError."""
        ...

    async def get(self, uuid: str) -> Entry | None:
        """What is known of a vCon."""
        ...


class Finisher:
    """Owns every ended call until its journal is gone."""

    def __init__(
        self,
        config: RecordConfig,
        *,
        speech: Settling,
        outbox: Publishing,
        store: Reopening,
        take: Callable[[CallJournal], CoreCall],
        mint: Callable[[Instant], str],
        disk_low: Callable[[], bool] = lambda: False,
        quarantine: Path,
        now: Callable[[], Instant],
        bus: Bus,
        forget: Callable[[str], None],
        clean: Callable[[str], None] = lambda _: None,
        wait: Callable[[float], Awaitable[None]] | None = None,
    ) -> None:
        """``take``: see ``Recovery.take_to_amend``; ``mint`` makes a new uuid; ``forget`` hears of a journal of which every
        vCon is delivered, ``clean`` of each vCon that is.
        """
        self._config = config
        self._speech = speech
        self._outbox = outbox
        self._quarantine = quarantine
        self._now = now
        self._bus = bus
        self._forget = forget
        self._clean = clean
        self._mint = mint
        self._wait = wait or asyncio.sleep
        self._ended: asyncio.Queue[tuple[CoreCall, CallJournal]] = asyncio.Queue()
        self._sent: dict[str, str] = {}
        """By uuid of a vCon that a sink lacks, or that is still to come: the call whose journal waits for it."""
        self._left: Counter[str] = Counter()
        """By call, how many of these."""
        self._slots = asyncio.Semaphore(AT_ONCE)
        self._in_hand = asyncio.Semaphore(IN_HAND)
        self._builders = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="vcon", initializer=_stand_back)
        self._failed: Counter[str] = Counter()
        """By call, how often it could not be finished."""
        self.busy = 0
        """Calls between their end and the outbox."""
        self._idle = asyncio.Event()
        self._idle.set()
        self.amender = Amender(
            speech=speech, store=store, take=take, publish=self._amend, give_up=self._done_with,
            disk_low=disk_low, now=now, wait=self._wait,
        )  # fmt: skip

    def submit(self, call: CoreCall, journal: CallJournal) -> None:
        """A call ended. Never waits."""
        self.busy += 1
        self._idle.clear()
        self._ended.put_nowait((call, journal))

    def expect(self, journal: CallJournal, state: Call, *, amended: bool = False) -> None:
        """The vCon of an earlier run is in the outbox: its journal takes no more memory, and goes when every sink has it.

        ``amended``: so is the amended one, if there is to be one; else it is made now.
        """
        self._await_sinks(state, kept=state.kept)
        journal.close()
        if state.amending is not None and not amended:
            self.amender.add(journal.uuid, state.amending.until)

    def delivered(self, uuid: str) -> None:
        """Every sink has the vCon."""
        self._clean(uuid)
        self._done_with(uuid)
        self._bus.publish(Line(uuid, "event", "delivered"))

    def _await_sinks(self, state: Call, *, kept: bool) -> None:
        """The journal stays until the call's vCon and the amended one are delivered; or for ever, if it is ``kept``."""
        vcons = [state.uuid, *([state.amending.vcon] if state.amending is not None else [])]
        for vcon in [] if kept else [vcon for vcon in vcons if vcon not in self._sent]:
            self._sent[vcon] = state.uuid
            self._left[state.uuid] += 1

    def _done_with(self, vcon: str) -> None:
        """A journal does not wait for this vCon any more."""
        call = self._sent.pop(vcon, None)
        if call is None:
            return
        self._left[call] -= 1
        if not self._left[call]:
            del self._left[call]
            self._forget(call)

    async def idle(self) -> None:
        """Return when no call is between its end and the outbox."""
        await self._idle.wait()

    async def run(self) -> None:
        """Finish what was submitted, until cancelled."""
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self.amender.run(), name="amender")
                while True:
                    call, journal = await self._ended.get()
                    tasks.create_task(self._guarded(call, journal), name=f"finish {call.uuid}")
        finally:
            self._builders.shutdown(wait=False)

    async def _guarded(self, call: CoreCall, journal: CallJournal) -> None:
        """One call that cannot be finished must not take the others with it: it stays in its journal, loudly."""
        try:
            await self._finish(call, journal)
        except Exception:
            metrics.quarantined_total.inc()
            again = self._failed[call.uuid] < TRIES
            fix = "it is tried again in a while" if again else "restart vcond, or report it"
            log.exception("call not finished; its journal is kept", call=call.uuid, fix=fix)
            self._failed[call.uuid] += 1
            if again:
                asyncio.get_running_loop().call_later(AGAIN, self.submit, call, journal)
            else:
                journal.close()  # it is on the disk, and takes no more memory
                del self._failed[call.uuid]
        else:
            self._failed.pop(call.uuid, None)
        finally:
            self.busy -= 1
            if not self.busy:
                self._idle.set()

    async def _finish(self, call: CoreCall, journal: CallJournal) -> None:
        complete = await self._texts(call)
        if not complete or call.state.untranscribed() or call.state.missed():
            self._announce(call)
        for utterance in call.state.untranscribed():
            call.record(ev.Untranscribed(at=self._now(), utterance=utterance.utterance, reason="deadline"))
        if call.state.disposition is not None and not self._config.unanswered:
            call.sealed = True
            journal.remove()
            return
        await self._flushed(journal)
        call.sealed = True
        async with self._in_hand:
            await self._hand_over(call, journal)

    async def _texts(self, call: CoreCall) -> bool:
        """Wait for the texts, as long as the operator says in all; whether all are there."""
        deadline = asyncio.get_running_loop().time() + self._config.transcript_deadline
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout_at(deadline):
                await self._speech.ready.wait()
        complete = True
        for uuid in (call.uuid, *call.joined):
            left = deadline - asyncio.get_running_loop().time()
            if not await self._speech.settled(uuid, max(0.0, left)):
                self._speech.forget(uuid)
                complete = False
        return complete

    def _announce(self, call: CoreCall) -> None:
        """An amended vCon is to follow, once; its uuid is fixed before the first one leaves."""
        if self._config.amend_deadline and call.state.amending is None and call.state.disposition is None:
            now = self._now()
            until = Instant(now + round(self._config.amend_deadline * SECOND))
            call.record(ev.Amending(at=now, vcon=self._mint(now), until=until))

    async def _hand_over(self, call: CoreCall, journal: CallJournal) -> None:
        """Make the vCon and give it to the outbox; the journal waits for the sinks, or stays."""
        document, findings, body = await self._made(call, journal)
        kept = _only_here(document)
        if any(finding.level == "error" for finding in findings):
            await asyncio.to_thread(self._set_aside, call.uuid, document, findings)
            return
        if kept:
            metrics.dropped_total.labels("recording", "too-large").inc()
            fix = "set record.media_dir and record.media_url; this folder is yours to keep or remove"
            log.error("recording fits in no vCon: kept", call=call.uuid, folder=str(journal.folder), fix=fix)
        else:
            # before: it may be delivered before we hear that it was published
            self._await_sinks(call.state, kept=False)
        sha512 = await self._publish(call.uuid, body)
        if kept or call.uuid in self._left:
            call.record(ev.Published(at=self._now(), sha512=sha512, kept=kept))
            if call.state.amending is not None:
                await self._flushed(journal)  # it is read again
                self.amender.add(call.uuid, call.state.amending.until)
            journal.close()
        self._bus.publish(Line(call.uuid, "event", "published"))
        log.info("vCon in the outbox", call=call.uuid, bytes=len(body))

    async def _amend(self, call: CoreCall, journal: CallJournal) -> bool:
        """Make the amended vCon and give it to the outbox. False: it is wrong, and set aside."""
        announced = call.state.amending
        assert announced is not None
        await self._flushed(journal)  # texts are never the same again: these are in the journal before they leave
        async with self._in_hand:
            document, findings, body = await self._made(call, journal, amended=True)
            if any(finding.level == "error" for finding in findings):
                await asyncio.to_thread(self._set_aside, announced.vcon, document, findings)
                return False
            sha512 = await self._publish(announced.vcon, body)
        call.record(ev.Published(at=self._now(), sha512=sha512, vcon=announced.vcon))
        self._bus.publish(Line(call.uuid, "event", "amended"))
        return True

    async def _flushed(self, journal: CallJournal) -> None:
        """Everything is on the disk, and every loss of audio was told. A disk that refuses is waited for."""
        pause = RETRY_FIRST
        while True:
            try:
                return await journal.flush()
            except StorageError as why:
                log.error("journal not on disk yet", call=journal.uuid, why=str(why))  # noqa: TRY400 - it says it all
            await self._wait(pause)
            pause = min(2 * pause, RETRY_MOST)

    async def _made(
        self, call: CoreCall, journal: CallJournal, *, amended: bool = False
    ) -> tuple[Document, list[Finding], bytes]:
        """The vCon; recordings that it names are on the disk."""
        pause = RETRY_FIRST
        while True:
            try:
                async with self._slots:
                    loop = asyncio.get_running_loop()
                    return await loop.run_in_executor(self._builders, self._make, call, journal, amended)
            except StorageError as why:
                log.error("recording not stored yet", call=call.uuid, why=str(why))  # noqa: TRY400 - it says it all
            await self._wait(pause)
            pause = min(2 * pause, RETRY_MOST)

    def _make(self, call: CoreCall, journal: CallJournal, amended: bool) -> tuple[Document, list[Finding], bytes]:
        state = call.state if amended or not call.state.published else as_published(journal.events)
        audio = {track.index: _audio(journal, track) for track in state.tracks}
        where = self._config.media_url if self._config.media_dir else ""
        built = build_with_media(state, audio, build_options(self._config, amended=amended), media_url=where)
        for media in built.media:
            publish(media, Path(self._config.media_dir))
        return built.document, validate(built.document), serialize(built.document)

    async def _publish(self, uuid: str, body: bytes) -> str:
        pause = RETRY_FIRST
        while True:
            try:
                return await self._outbox.publish(uuid, body)
            except ConflictError:
                log.error("other bytes of this vCon were published before; those stay", call=uuid)  # noqa: TRY400
                return await self._before(uuid)
            except StorageError as why:
                log.error("vCon not stored yet", call=uuid, why=str(why))  # noqa: TRY400 - it says it all
                await self._wait(pause)
                pause = min(2 * pause, RETRY_MOST)

    async def _before(self, uuid: str) -> str:
        """What was published under a uuid before: by another version of vcond, from the same journal."""
        entry = await self._outbox.get(uuid)
        if entry is None:
            return ""
        if entry.closed_at:
            self.delivered(uuid)
        return entry.sha512

    def _set_aside(self, uuid: str, document: Document, findings: list[Finding]) -> None:
        metrics.quarantined_total.inc()
        self._quarantine.mkdir(mode=0o700, parents=True, exist_ok=True)
        file = self._quarantine / f"{uuid}.vcon.json"
        with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as out:
            out.write(serialize(document))
        for finding in findings[:20]:
            log.error("our own vCon is not valid", call=uuid, path=finding.path, code=finding.code)
        log.error("vCon set aside with its journal", call=uuid, file=str(file), fix="please report it")
