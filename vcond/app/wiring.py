"""Makes every part of a daemon from its configuration; nothing runs yet."""

from __future__ import annotations

import asyncio
import random
import socket
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from pathlib import Path

import structlog

from vcond.app import encryption, forgetting, plugins, remembered, retention, state_folder
from vcond.app.holding import Holding
from vcond.app.links import links, rules
from vcond.app.matching import matches_of, unmatched
from vcond.app.old_journals import OldJournals
from vcond.app.redacting import redactor_of
from vcond.base.errors import ConfigError, StorageError
from vcond.call.matching import Match
from vcond.call.state import Call
from vcond.capture.clock import SteadyClock
from vcond.capture.disk import FreeSpace
from vcond.capture.live_feed import CaptionEvent, LiveFeed
from vcond.capture.pressure import PressureWatch
from vcond.capture.registry import CallRegistry
from vcond.capture.rules import Rules
from vcond.config import Loaded, naming_files
from vcond.delivery import FormedSink, Outbox
from vcond.journal import Store
from vcond.publish.builder import check_record
from vcond.publish.finisher import Finisher
from vcond.publish.revisions import Revision
from vcond.publish.squeezer import Squeezer
from vcond.publish.telling import Findings
from vcond.publish.traces import Traces
from vcond.records.heads import Sign
from vcond.records.ledger_made import made_of
from vcond.records.ledger_service import Records
from vcond.records.subjects_key import index_key
from vcond.records.tombstones import of_call, of_key
from vcond.records.word_service import WordService
from vcond.server.admin import AdminServer
from vcond.server.api.parts import ApiParts
from vcond.server.api.stored import Stored
from vcond.server.conversations import Conversation, Conversations
from vcond.server.hub.api import HubApi
from vcond.server.hub.guard import Guard
from vcond.server.hub.intake import Intake
from vcond.server.hub.server import HubServer
from vcond.server.ingress import WebServer, ingress_token
from vcond.server.ops import OpsServer
from vcond.server.status import Status
from vcond.speech.dispatcher import Speech
from vcond.speech.multi_model import Speeches, speech_of
from vcond.speech.routes import Routes
from vcond.storage.files import Files
from vcond.storage.names import uuid_in
from vcond.vcon import Document

logger = structlog.get_logger()


class Parts:
    """The parts of one daemon, and how far it is: ``started``, ``stopping``, its ``last_beat``, as the lifecycle says."""

    intake: Intake
    """What keeps what comes to a hub, and what its links make."""

    def __init__(self, loaded: Loaded, clock: SteadyClock) -> None:
        """Raises ConfigError for what the operator must mend first, StorageError."""
        self.config = loaded.config
        self.clock = clock
        self.bus = LiveFeed()
        self.started = False
        self.stopping = False
        self.last_beat = 0.0
        state_dir = Path(self.config.vcond.state_dir)
        state_folder.check(state_dir)
        with naming_files(loaded.origin):
            self.keys = encryption.key_store(self.config.keys, state_dir, writes=True)
            encryption.check_seen(self.keys, state_dir)
        files = encryption.disk(self.config.keys, self.keys, state_dir)
        self.speech = speech_of(self.config.speech, clock=clock, machine=self.config.vcond.host)
        redactor = partial(redactor_of, self.config.redaction, self.speech, files)
        with naming_files(loaded.origin):
            sinks = plugins.sinks(self.config, clock=clock.now, files=files, redactor=redactor)
            made = links(self.config, lambda: self.intake)
        hub = self.config.hub
        if not (sinks or hub.listen):
            raise ConfigError('no sink is configured: add [[sinks]] with type = "folder" or "conserver"', "sinks")
        check_record(self.config.record)
        retention.check(self.config)
        state_folder.made(state_dir)
        with naming_files(loaded.origin):
            remembered.settle(self.config)
        self.tombstones = remembered.tombstones(self.config, clock.now)
        self.damaged = partial(remembered.look, self.config)
        self.holds = remembered.holds(self.config, clock.now)
        matched = matches_of(self.config.sinks)
        self.forms = MadeForms(state_dir / "forms", sinks, files)
        self.outbox = Outbox(
            state_dir / "outbox",
            [*sinks, *made],
            database=state_dir / "vcond.db",
            clock=clock,
            rng=random.Random(),  # noqa: S311 - spreads retries, guards nothing
            config=self.config.delivery,
            on_delivered=self._delivered,
            disk_low=lambda: "disk" in self.registry.pressure.trouble,
            files=files,
            held=self.holds.calls,
            forgotten=self.forgotten,
            matched=[
                *matched,
                *(link.name for link in made),
            ],  # a link that is new gets nothing of what was here before
            columns=encryption.columns(self.config.keys, self.keys),
            keeps=bool(hub.listen),
        )
        name = self.config.vcond.name or socket.gethostname()
        self.traces = Traces(self.config.ops.traces, name, clock.now) if self.config.ops.traces else None
        token = ingress_token(self.config.web, state_dir, files)
        with naming_files(loaded.origin):
            sign = plugins.signs(self.config.seal, clock.now)
        self.records = self._records(state_dir, sinks, sign)
        self.words = words(self, state_dir, files)
        self.store = Store(state_dir / "journal", files=files)
        self.holding = Holding(self.holds, self.store)
        self.merged, self.released = self.holding.merged, self.holding.released
        hints = plugins.hints_by_section(self.config.adapters)
        self.finisher = Finisher(
            self.config.record,
            speech=self.speech,
            outbox=self.outbox,
            store=self.store,
            take=lambda journal: self.registry.recovery.take_to_amend(journal),  # noqa: PLW0108 - made below
            mint=lambda at: self.registry.mint(at),  # noqa: PLW0108 - made below
            disk_low=lambda: "disk" in self.registry.pressure.trouble,
            quarantine=state_dir / "quarantine",
            now=clock.now,
            bus=self.bus,
            forget=self.holding.journal_over,
            clean=self.forms.clean,
            files=files,
            findings=Findings(
                hints, self.traces, lambda call: self.bus.publish(CaptionEvent(call, "event", "flagged"))
            ),
            note=self._note,
            forgotten=self.forgotten,
            facts=partial(retention.facts, self.config.retention),
            unmatched=partial(unmatched, matched),
        )
        self.registry = CallRegistry(
            self.config.vcond,
            store=self.store,
            speech=self.speech,
            clock=clock,
            bus=self.bus,
            finish=self.finisher.submit,
            discard=self.merged,
            facts=lambda: facts(self.speech),
            recognition_options=Routes(self.config.speech).recognition_options,
            terms_of_call=Rules(self.config.policy).terms_of_call,
            pressure=PressureWatch(FreeSpace(files.free)),
        )
        self.registry.hints = hints
        self.registry.forgotten = lambda adapter, key: of_key(adapter, key) in self.tombstones
        self.squeezer = Squeezer(
            self.config.record.inline_limit,
            now=clock.now,
            disk_low=lambda: "disk" in self.registry.pressure.trouble,
        )
        self.old_journals = OldJournals(self)
        self.conversations = Conversations(self.registry, self.store, self.outbox, self.records)
        self.elsewhere = partial(forgetting.elsewhere, self.outbox)
        self.receipts = remembered.receipts(self.config, clock.now, sign)
        self.forgetter = remembered.forgetter(self.config, self, clock.now, self.receipts)
        self.retention = retention.retention(self)
        self.status = Status(self)
        self.web = WebServer(self.config.web, token=token)
        told = self.status
        self.ops = OpsServer(self.config.ops, alive=told.alive, ready=told.ready, gives_up=told.gives_up)
        self.api = ApiParts(
            self.config.api, doors=self.status, feed=self.bus, levels=self.registry.levels, outbox=self.outbox, files=files,
            state_dir=state_dir, now=clock.now, tell=self.records.tell, index=self.records,
            words=self.words, sign=sign, hub=bool(hub.listen),
        )  # fmt: skip
        self.intake = intake(self, matched)
        self.hub = hub_server(self, files)
        self.admin = AdminServer(
            Path(self.config.vcond.admin_socket),
            reads=self.status.reads | self.api.reads,
            writes=self.status.writes | self.api.writes,
            live=self.status,
            mount=self.api.mount,
        )

    async def close(self) -> None:
        """Nothing more is compressed, redacted, delivered or written; all is on disk when it returns."""
        self.squeezer.close()
        self.forms.close()
        await self.forgetter.close()
        await self.holding.look()
        await self.outbox.close()
        await self.records.close()
        await self.words.close()
        await self.store.close()
        if self.keys is not None:
            self.keys.close()

    def forgotten(self, uuid: str) -> bool:
        """Whether a call or vCon was forgotten."""
        return of_call(uuid) in self.tombstones

    def gone(self, uuid: str) -> bool:
        """Whether a call was forgotten, and nothing of it stays."""
        return self.forgotten(uuid) and not self.forgetter.stays(uuid)

    async def forget(self, call: str) -> None:
        """A whole conversation, for good. Raises HeldError, StorageError."""
        await self.status.forgetting.forget([await self.conversations.of(call)])

    async def forget_vcon(self, uuid: str) -> None:
        """A vCon that came to a hub, and what links made of it; or one that a link made, alone. Raises HeldError, StorageError."""
        entry = await self.outbox.get(uuid)
        if entry is None or "link" not in entry.facts:
            await self.forget(uuid)
            return
        self.holds.check(entry.facts["call"])
        await self.status.forgetting.forget([Conversation(uuid, ())])

    def _records(self, state_dir: Path, sinks: Sequence[FormedSink], sign: Sign | None) -> Records:
        return Records(
            state_dir,
            self.config.records,
            key=lambda: index_key(state_dir, self.keys),
            domain=self.config.record.sip_domain,
            forms={sink.name: sink.form for sink in sinks},
            now=self.clock.now,
            sign=sign,
        )

    async def _note(self, call: Call, revision: Revision, document: Document) -> None:
        """A vCon is about to be published."""
        made = made_of(document, kind=revision.kind, machine=call.recorder, adapter=call.adapter)
        await self.records.note(revision.uuid, call.uuid, document, made)

    def _delivered(self, uuid: str) -> None:
        """Every sink has a vCon."""
        if self.traces is not None:
            self.traces.delivered(uuid)
        self.finisher.delivered(uuid)


def intake(parts: Parts, matched: Mapping[str, Match]) -> Intake:
    """What takes the vCons that come to a hub, and those that its links make."""
    config = parts.config
    return Intake(
        parts.outbox,
        parts.records,
        facts=partial(retention.facts, config.retention),
        unmatched=partial(unmatched, matched, links=rules(config)),
        forgotten=parts.forgotten,
        short_of=lambda: parts.registry.pressure.trouble,
        machine=config.vcond.host,
    )


def hub_server(parts: Parts, files: Files) -> HubServer:
    """The hub's listener, which keeps what comes in the outbox. Raises ConfigError."""
    config = parts.config
    api = HubApi(
        config.hub, Guard(config.hub), parts.intake, parts.outbox, index=parts.records, access=parts.api.access,
        read=Stored(parts.outbox, files).read, forgotten=parts.forgotten, forget=parts.forget_vcon,
    )  # fmt: skip
    return HubServer(config.hub, api)


def words(parts: Parts, state_dir: Path, files: Files) -> WordService:
    """The index of words of a daemon that has an outbox."""
    read, forgotten = Stored(parts.outbox, files).read, lambda uuid: of_call(uuid) in parts.tombstones
    return WordService(
        state_dir, parts.outbox, key=lambda: index_key(state_dir, parts.keys), read=read, forgotten=forgotten
    )


class MadeForms:
    """Signed and encrypted forms of vCons, which go when every sink has the vCon."""

    def __init__(self, folder: Path, sinks: Sequence[FormedSink], files: Files) -> None:
        """``folder`` is where ``sinks`` keep them."""
        self._folder = folder
        self._files = files
        self._sinks = sinks
        self._cleaner = ThreadPoolExecutor(1, thread_name_prefix="clean")

    def clean(self, uuid: str) -> None:
        """Every sink has a vCon: its other forms are not needed any more. Not on the loop: it asks the disk."""
        if any(sink.keeps for sink in self._sinks):
            self._cleaner.submit(self._clean, uuid)

    async def clean_left(self, outbox: Outbox) -> None:
        """Forms of vCons that were delivered everywhere and not cleaned up after; deliveries go on beside it."""
        folder = self._folder
        try:
            for file in await asyncio.to_thread(lambda: list(folder.iterdir()) if folder.is_dir() else []):
                entry = await outbox.get(uuid_in(file.name))
                if entry is None or entry.closed_at:
                    with suppress(FileNotFoundError):  # delivered and cleaned just now
                        await asyncio.to_thread(self._files.delete_one, str(file))
        except (OSError, StorageError) as why:
            logger.warning("cannot delete converted vCons of an earlier run; the next start does", error=str(why))

    def close(self) -> None:
        """What was not cleaned is at the next start."""
        self._cleaner.shutdown(wait=False, cancel_futures=True)

    def _clean(self, uuid: str) -> None:
        for sink in self._sinks:
            try:
                sink.forget(uuid)
            except OSError as why:
                logger.warning(
                    "cannot delete a converted vCon; the next start deletes it", sink=sink.name, error=why.strerror
                )


def facts(speech: Speech | Speeches) -> dict[str, str]:
    """What every call is told when it opens: who listens, so that "nobody spoke" differs from "nobody listened"."""
    if speech.engine is not None:
        return {"speech_engine": speech.engine.engine, "speech_model": speech.engine.model}
    return {"speech_engine": speech.choice.engine} if speech.choice.engine else {}
