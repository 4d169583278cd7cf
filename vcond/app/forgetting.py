"""The places where something of a call may be, and how it is forgotten there. Decision 0034."""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import Callable, Coroutine, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final, Protocol
from uuid import UUID

import structlog

from vcond.base.backoff import Backoff
from vcond.base.errors import StorageError
from vcond.capture.forgetting import forget
from vcond.capture.registry import CallRegistry
from vcond.config import Config
from vcond.delivery import Outbox, rows
from vcond.journal import Store
from vcond.journal.erasing import erase as erase_journal
from vcond.publish.finisher import Finisher
from vcond.records.forgetting import Forgetter, NeverError, NotYetError, Place
from vcond.records.holds import HeldError, Holds
from vcond.records.ledger import Ledger
from vcond.records.ledger_service import Records
from vcond.records.subjects import Forgotten, SubjectIndex
from vcond.records.tombstones import AS_LONG, Tombstones, of_call, of_key
from vcond.records.word_service import WordService
from vcond.sdk.link import PREFIX
from vcond.speech.dispatcher import Speech
from vcond.speech.multi_model import Speeches
from vcond.storage.files import Files
from vcond.storage.key_store import KeyStore
from vcond.storage.names import uuid_in

log = structlog.get_logger()

AGAIN: Final = Backoff(1.0, 60.0)
"""Seconds before it is looked again whether it is known what was forgotten."""
PATIENCE: Final = 10.0
"""Seconds that a vCon which is being made may take before the place counts as not done yet."""
PIECE: Final = 1 << 20
"""Bytes of a file that are searched at a time."""


class Parts(Protocol):
    """What is asked of a daemon."""

    config: Config
    registry: CallRegistry
    finisher: Finisher
    outbox: Outbox
    store: Store
    keys: KeyStore | None
    tombstones: Tombstones
    holds: Holds
    records: Records
    words: WordService

    async def forget_vcon(self, uuid: str) -> None:
        """Of a hub. Raises HeldError, StorageError."""

    @property
    def speech(self) -> Speech | Speeches:
        """Of one model or of several."""


class Waiting(Parts, Protocol):
    """What is asked of a daemon that does not know what was forgotten."""

    forgetter: Forgetter


@dataclass
class At:
    """One place. ``run`` raises StorageError, NotYetError, NeverError."""

    name: str
    run: Callable[[str], Coroutine[Any, Any, None]]
    after: str = ""

    async def erase(self, uuid: str) -> None:
        """See ``vcond.records.forgetting.Place``."""
        try:
            await self.run(uuid)
        except StorageError as why:
            raise NotYetError(str(why)) from None


def places(daemon: Parts) -> list[Place]:
    """In the order in which they are tried: what makes something of a call before that of which it is made."""
    state = Path(daemon.config.vcond.state_dir)
    outbox, media = daemon.outbox, daemon.config.record.media_dir
    found = [
        At("call", partial(_call, daemon)),
        At("journal", partial(erase_journal, daemon.store), "call"),
        At("outbox", partial(_outbox, daemon, state), "call"),
        At("forms", partial(_files, state / "forms"), "outbox"),
        At("quarantine", partial(_files, state / "quarantine"), "call"),
    ]
    found.append(At("index", partial(_index, daemon), "call"))
    found.append(At("words", partial(_words, daemon), "outbox"))
    if media:
        found.append(At("media", partial(_files, Path(media)), "call"))
    if daemon.keys is not None:
        found.append(At("keys", partial(_keys, daemon.keys)))
    if daemon.config.hub.listen:
        found.append(At("links", partial(_links, daemon), "call"))
    names = [one.sink for one in outbox.sinks() if not one.sink.startswith(PREFIX)]
    found += [At(f"sinks.{name}", partial(_sink, daemon, name), "outbox") for name in names]
    return list(found)


async def elsewhere(outbox: Outbox, uuids: list[str]) -> dict[str, list[str]]:
    """Sinks that are not configured any more and may have something of these vCons. Raises StorageError."""
    here = {one.sink for one in outbox.sinks()}
    receivers = (await outbox.eraser.receivers(uuids)).items()
    return {f"sinks.{sink}": of for sink, of in receivers if sink not in here and not sink.startswith(PREFIX)}


def clear(
    config: Config, keys: KeyStore | None, tombstones: Tombstones, stays: Callable[[str], bool] = lambda _: False
) -> int:
    """Before anything is read: what was forgotten and is here again, as an old backup came back. How many names that were.

    ``stays``: what came to be held while it was being forgotten. Rows of the database are the outbox's to look at. Blocks. Raises StorageError: nothing may be delivered then.
    """
    if not len(tombstones):
        return 0
    state, media = Path(config.vcond.state_dir), config.record.media_dir
    folders = [state / "journal", state / "journal" / ".trash", state / "forms", state / "quarantine"]
    gone: set[str] = set()

    def clear_in(folder: Path) -> None:
        for uuid, path in _named(folder):
            if of_call(uuid) in tombstones and not stays(uuid):
                _delete(path)
                gone.add(uuid)

    try:
        for folder in folders:
            clear_in(folder)
        if keys is not None:
            ids = {str(UUID(bytes=of)): of for of in keys.ids()}
            keys.erase([of for uuid, of in ids.items() if of_call(uuid) in tombstones and not stays(uuid)])
    except OSError as why:
        raise StorageError(f"cannot remove what was forgotten and came back: {why.strerror}; check the disk") from None
    try:
        if media:
            clear_in(Path(media))
    except OSError as why:  # a disk of others must not keep calls from being recorded
        log.error(  # noqa: TRY400 - it says it all
            "cannot look for what was forgotten among the recordings; the next start does", folder=media, error=why.strerror,
            hint="check record.media_dir, then restart vcond",
        )  # fmt: skip
    return len(gone)


async def cleared(daemon: Waiting) -> None:
    """``clear`` at a start. What cannot be removed then keeps no call from being recorded: it is tried again (``known``), and nothing is delivered."""
    try:
        await asyncio.to_thread(clear, daemon.config, daemon.keys, daemon.tombstones, daemon.forgetter.stays)
    except StorageError as why:
        _not_cleared(daemon.tombstones, why)


def _not_cleared(tombstones: Tombstones, why: StorageError) -> None:
    tombstones.trouble = str(why)
    log.error(
        "cannot remove what was forgotten and came back, retrying; calls are recorded, deliveries wait",
        error=str(why),
    )


async def known(daemon: Waiting) -> None:
    """Until it is known what was forgotten; what came back goes then. Calls are recorded meanwhile, and nothing is delivered."""
    tombstones, failures = daemon.tombstones, 0
    while tombstones.trouble:
        failures += 1
        await asyncio.sleep(AGAIN.wait(failures))
        await asyncio.to_thread(tombstones.load)
        if tombstones.trouble:
            continue
        asked = [each for one in daemon.forgetter.all() for named in one.conversations for each in named.uuids]
        try:
            await asyncio.to_thread(tombstones.add, map(of_call, asked))  # the start could not do it
            for uuid in [call.uuid for call in (*daemon.registry.live, *daemon.registry.recovery.unfinished())]:
                if of_call(uuid) in tombstones and not daemon.forgetter.stays(uuid):
                    forget(daemon.registry, uuid)
            await asyncio.to_thread(clear, daemon.config, daemon.keys, tombstones, daemon.forgetter.stays)
        except StorageError as why:
            _not_cleared(tombstones, why)
        else:
            log.warning("what was forgotten can be read again; vCons are delivered")
    await clear_index(daemon.records, tombstones, daemon.forgetter.stays)


async def clear_index(records: Records, tombstones: Tombstones, stays: Callable[[str], bool] = lambda _: False) -> None:
    """As ``clear``, in the subject index, which serves nobody before it is asked. What fails is done at the next start."""
    if not len(tombstones):
        return
    try:
        for vcon in await records.ask(lambda _ledger, index: index.those(lambda uuid: of_call(uuid) in tombstones)):
            if stays(vcon):
                continue
            await records.ask(partial(_out_of_index, vcon))
    except StorageError as why:
        log.error("cannot look for what was forgotten in the subject index; the next start does", error=str(why))  # noqa: TRY400 - it says it all


def _out_of_index(vcon: str, _ledger: Ledger, index: SubjectIndex) -> Forgotten:
    return index.forget_vcon(vcon)


async def _call(daemon: Parts, uuid: str) -> None:
    """What goes on of it in memory: capture, texts that are waited for, a vCon that is being made, who watches."""
    named = forget(daemon.registry, uuid)
    if named is not None:
        await asyncio.to_thread(daemon.tombstones.add, [of_key(*named)], daemon.registry.clock.now() + AS_LONG)
    daemon.speech.forget(uuid)
    daemon.registry.bus.ended(uuid)
    daemon.finisher.findings.forget(uuid)
    try:
        async with asyncio.timeout(PATIENCE):
            await daemon.finisher.making.over(uuid)
    except TimeoutError:
        raise NotYetError("its vCon is being made") from None


async def _outbox(daemon: Parts, state: Path, uuid: str) -> None:
    """Files, rows, the WAL. A database that was set aside as damaged is searched: it is the operator's."""
    outbox = daemon.outbox
    if not outbox.opened.is_set():
        raise NotYetError("the outbox is not open")
    await daemon.records.follow(outbox)  # what waits there for the ledger names it
    await outbox.eraser.everything(uuid)
    await _not_in_broken(state, "vcond.db", uuid.encode())


async def _not_in_broken(state: Path, name: str, wanted: bytes) -> None:
    try:
        where = await asyncio.to_thread(_in_broken, state, name, wanted)
    except OSError as why:
        raise NotYetError(f"cannot read a damaged database: {why.strerror}") from None
    if where:
        raise NeverError(f"{where} tells of it: delete that file when you need it no more, then ask again")


async def _files(folder: Path, uuid: str) -> None:
    """All that is named after it."""
    try:
        await asyncio.to_thread(clear_named, folder, uuid)
    except OSError as why:
        raise NotYetError(f"cannot delete in {folder}: {why.strerror}") from None


async def _keys(keys: KeyStore, uuid: str) -> None:
    """No copy of its encrypted files can be read any more."""
    try:
        await asyncio.to_thread(keys.erase, [UUID(uuid).bytes])
    except OSError as why:
        raise NotYetError(f"cannot erase its key: {why.strerror}") from None


async def _index(daemon: Parts, uuid: str) -> None:
    """Who was in it, and the secrets of those who are in no other vCon. The ledger keeps that it was, without people."""
    found = await daemon.records.ask(partial(_out_of_index, uuid))
    await daemon.records.tell("forgotten", fact=uuid, vcon=uuid)
    if not found.wiped:
        raise NotYetError("the index is being read")
    await _not_in_broken(Path(daemon.config.vcond.state_dir), "records.db", UUID(uuid).bytes)


async def _words(daemon: Parts, uuid: str) -> None:
    """The hashes of what was said in it."""
    if not await daemon.words.remove(uuid):
        raise NotYetError("the index of words is being read")


async def _links(daemon: Parts, uuid: str) -> None:
    """What a link stored of it between the request and its being noted; from then on nothing of it is stored."""
    for one in await daemon.outbox.tell("read the outbox", partial(rows.of_call, call=uuid)):
        if of_call(one.uuid) not in daemon.tombstones:
            try:
                await daemon.forget_vcon(one.uuid)
            except HeldError as why:
                raise NotYetError(str(why)) from None


async def _sink(daemon: Parts, name: str, uuid: str) -> None:
    """By the sink's own way, which proves it where the receiver lets it."""
    why = await daemon.outbox.eraser.at(name, uuid)
    if why == "cannot-erase":
        raise NeverError("cannot erase: erase it there yourself")
    if why:
        raise NotYetError(why)
    await daemon.records.tell("vcon_deleted", fact=name, vcon=uuid, sink=name)


def clear_named(folder: Path, uuid: str) -> None:
    """Delete all that is named after a call or vCon in a folder. Blocks. Raises OSError."""
    for found, path in list(_named(folder)):
        if found == uuid:
            _delete(path)


def _named(folder: Path) -> Iterator[tuple[str, Path]]:
    """What is named after a call or vCon in a folder, finished or not."""
    with suppress(FileNotFoundError, NotADirectoryError), os.scandir(folder) as entries:
        for entry in entries:
            if uuid := uuid_in(entry.name):
                yield uuid, Path(entry.path)


def _delete(path: Path) -> None:
    """Durably. No link is followed."""
    if path.is_dir() and not path.is_symlink():
        with suppress(FileNotFoundError):
            shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
    Files().sync_folder(str(path.parent))


def _in_broken(state: Path, name: str, wanted: bytes) -> str:
    """The damaged database that has it, if there is one."""
    for path in sorted(state.glob(f"{name}.broken-*")):
        files, before, at = Files(), b"", 0
        fd = files.open(str(path), write=False)
        try:
            while piece := files.pread(fd, PIECE, at):
                if wanted in before + piece:
                    return path.name
                before, at = piece[-len(wanted) :], at + len(piece)
        finally:
            files.close(fd)
    return ""
