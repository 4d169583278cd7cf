"""From an ended call to a vCon in the outbox; from a delivered vCon to a removed journal.

Every step can be done again: the uuid is fixed, ``build`` is deterministic, ``publish`` is idempotent. Whatever
interrupts it, the next start does it from the journal.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Protocol

import structlog

from vcond.base import metrics
from vcond.base.time import SECOND, Instant
from vcond.call import events as ev
from vcond.call.state import Call
from vcond.capture.live_call import CapturedCall
from vcond.capture.live_feed import CaptionEvent, LiveFeed
from vcond.config.schema import RecordConfig
from vcond.delivery import ConflictError, ForgottenError
from vcond.journal import CallJournal
from vcond.publish.amender import Amender, Reopening
from vcond.publish.builder import Builder
from vcond.publish.quarantine import set_aside
from vcond.publish.retrying import until_stored
from vcond.publish.revisions import Awaited, Known, Making, Revision, looked_up, revisions
from vcond.publish.telling import Findings
from vcond.publish.texts import Settling, all_texts
from vcond.storage.files import Files
from vcond.storage.whole_files import WholeFiles
from vcond.vcon import Document

log = structlog.get_logger()

IN_HAND = 16
"""vCons in memory at the same time while a disk does not take them."""
TRIES, AGAIN = 2, 600.0
"""How often a call that could not be finished is tried again before the next start, and after how many seconds."""
_TOLD = {"original": "published", "amended": "amended"}
"""What watchers of a call are told when the outbox has one of its vCons."""


class Publishing(Known, Protocol):
    """What the finisher uses of the outbox."""

    async def publish(self, uuid: str, body: bytes, facts: Mapping[str, str], unmatched: Collection[str]) -> str:
        """Durable when it returns: the SHA-512 of the body in hex. Raises StorageError, ConflictError."""


Note = Callable[[Call, Revision, Document], Awaitable[None]]
"""Of a vCon that is about to be published; by StorageError it has it wait."""


async def _not_noted(_call: Call, _revision: Revision, _document: Document) -> None:
    """Where nobody keeps a ledger."""


class Finisher:
    """Owns every ended call until its journal is gone."""

    def __init__(
        self,
        config: RecordConfig,
        *,
        speech: Settling,
        outbox: Publishing,
        store: Reopening,
        take: Callable[[CallJournal], CapturedCall],
        mint: Callable[[Instant], str],
        disk_low: Callable[[], bool] = lambda: False,
        quarantine: Path,
        now: Callable[[], Instant],
        bus: LiveFeed,
        forget: Callable[[str], None],
        clean: Callable[[str], None] = lambda _: None,
        wait: Callable[[float], Awaitable[None]] | None = None,
        files: Files | None = None,
        findings: Findings | None = None,
        note: Note = _not_noted,
        forgotten: Callable[[str], bool] = lambda _: False,
        facts: Callable[[Call, Document], dict[str, str]] = lambda _call, _document: {},
        unmatched: Callable[[Call], Collection[str]] = lambda _: (),
    ) -> None:
        """``take``: see ``Recovery.take_to_amend``; ``mint`` makes a new uuid; ``forget`` hears of a journal of which every
        vCon is delivered, ``clean`` of each vCon that is. No vCon is made of calls that were ``forgotten``. ``facts``: what the outbox is told of one; ``unmatched``: sinks it is not for.
        """
        self._forgotten, self._facts, self._unmatched, self.making = forgotten, facts, unmatched, Making()
        self._config, self._speech = config, speech
        self._outbox = outbox
        self._quarantine = quarantine
        self._now = now
        self._bus = bus
        self._clean = clean
        self._mint = mint
        self.findings = findings or Findings()
        self._wait, self._note = wait or asyncio.sleep, note
        self._ended: asyncio.Queue[tuple[CapturedCall, CallJournal]] = asyncio.Queue()
        self._awaited, self._forget = Awaited(forget), forget
        self._in_hand = asyncio.Semaphore(IN_HAND)
        self._files = WholeFiles(files or Files())
        self._builder = Builder(config, self._wait, self._files)
        self._failed: Counter[str] = Counter()
        """By call, how often it could not be finished."""
        self.busy = 0
        """Calls between their end and the outbox."""
        self._idle = asyncio.Event()
        self._idle.set()
        self.amender = Amender(
            speech=speech, store=store, take=take, publish=self._amend, give_up=self._awaited.over,
            disk_low=disk_low, now=now, wait=self._wait,
        )  # fmt: skip

    def submit(self, call: CapturedCall, journal: CallJournal) -> None:
        """A call ended. Never waits."""
        self.busy += 1
        self._idle.clear()
        self._ended.put_nowait((call, journal))

    def await_sinks(self, state: Call) -> None:
        """The journal of an earlier run goes when every sink has all. Before the outbox is asked: it may be so meanwhile."""
        if not state.kept:
            self._awaited.add(state.uuid, revisions(state))

    def expect(self, journal: CallJournal, state: Call, vcons: Sequence[Revision]) -> None:
        """The original of an awaited call is in the outbox: its journal takes no more memory. Of all ``vcons`` what is due is made."""
        journal.close()
        self._follow(state.uuid, vcons)

    def delivered(self, uuid: str) -> None:
        """Every sink has the vCon."""
        self._clean(uuid)
        self._awaited.over(uuid)
        self._bus.publish(CaptionEvent(uuid, "event", "delivered"))

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
            self._builder.close()

    async def _guarded(self, call: CapturedCall, journal: CallJournal) -> None:
        """One call that cannot be finished must not take the others with it: it stays in its journal, loudly."""
        try:
            await self._finish(call, journal)
        except ForgottenError:
            journal.close()
        except Exception:
            metrics.quarantined_total.inc()
            again = self._failed[call.uuid] < TRIES
            fix = "vcond retries by itself" if again else "restart vcond, or report it"
            log.exception("call not finished; its journal is kept", call=call.uuid, hint=fix)
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

    async def _finish(self, call: CapturedCall, journal: CallJournal) -> None:
        complete = await all_texts(self._speech, (call.uuid, *call.joined), self._config.transcript_deadline)
        if not complete or call.state.untranscribed() or call.state.missed():
            self._announce(call)
        for utterance in call.state.untranscribed():
            call.record(ev.Untranscribed(at=self._now(), utterance=utterance.utterance, reason="deadline"))
        if call.state.disposition is not None and not self._config.unanswered:
            call.sealed = True
            self._forget(call.uuid)
            return
        await self._flushed(journal)
        call.sealed = True
        original, *later = revisions(call.state)
        size = await self._hand_over(call, journal, original)
        if not size:
            return
        if call.state.kept or call.uuid in self._awaited:
            if later:
                await self._flushed(journal)  # it is read again
            journal.close()
            self._follow(call.uuid, await looked_up(later, self._outbox))
        log.info("vCon in the outbox", call=call.uuid, bytes=size)

    def _announce(self, call: CapturedCall) -> None:
        """An amended vCon is to follow, once; its uuid is fixed before the first one leaves."""
        if self._config.amend_deadline and call.state.amending is None and call.state.disposition is None:
            now = self._now()
            until = Instant(now + round(self._config.amend_deadline * SECOND))
            call.record(ev.Amending(at=now, vcon=self._mint(now), until=until))

    def _follow(self, call: str, vcons: Iterable[Revision]) -> None:
        """What is due of a call waits for its texts; what was delivered is not waited for."""
        for one in vcons:
            if one.state == "delivered":
                self.delivered(one.uuid)
            elif one.state == "due" and one.until is not None:
                self.amender.add(call, one)

    async def _amend(self, call: CapturedCall, journal: CallJournal, revision: Revision) -> int:
        """As ``_hand_over``, for what waited for texts."""
        await self._flushed(journal)  # texts are never the same again: these are in the journal before they leave
        return await self._hand_over(call, journal, revision)

    async def _hand_over(self, call: CapturedCall, journal: CallJournal, revision: Revision) -> int:
        """Make a vCon of a call and give it to the outbox: its bytes. 0: it is wrong, and set aside."""
        kept = False
        async with self.making.of(call.uuid), self._in_hand:
            if self._forgotten(call.uuid):
                raise ForgottenError("the call was forgotten")
            built = await self._builder.built(call.state, journal, revision)
            if not built.valid:
                await asyncio.to_thread(set_aside, self._quarantine, revision.uuid, built, self._files)
                return 0
            if revision.kind == "original":
                self.findings.tell(call.state, built.diagnoses)
                kept = built.without_recording
                self._journal_waits(call, journal, kept=kept)
            note = partial(self._note, call.state, revision, built.document)
            await until_stored(note, revision.uuid, "ledger not written yet; the vCon waits for it", self._wait)
            facts = revision.facts(call.uuid) | self._facts(call.state, built.document)
            sha512 = await self._publish(revision.uuid, built.body, facts, self._unmatched(call.state))
        if kept or call.state.kept or call.uuid in self._awaited:
            call.record(revision.published(self._now(), sha512, kept=kept))
        self._bus.publish(CaptionEvent(call.uuid, "event", _TOLD[revision.kind]))
        return len(built.body)

    def _journal_waits(self, call: CapturedCall, journal: CallJournal, *, kept: bool) -> None:
        """For the sinks, or for ever. Before the vCon is published: it may be delivered before we hear that it was."""
        if kept:
            _say_kept(journal)
        else:
            self._awaited.add(call.uuid, revisions(call.state))

    async def _flushed(self, journal: CallJournal) -> None:
        """Everything is on the disk, and every loss of audio was told. A disk that refuses is waited for."""
        await until_stored(journal.flush, journal.uuid, "journal sync failed, retrying", self._wait)

    async def _publish(self, uuid: str, body: bytes, facts: Mapping[str, str], unmatched: Collection[str]) -> str:
        try:
            stored = partial(self._outbox.publish, uuid, body, facts, unmatched)
            return await until_stored(stored, uuid, "vCon not stored yet", self._wait)
        except ConflictError:
            log.error("a different version was already published; keeping that one", call=uuid)  # noqa: TRY400 - where it was met says nothing
            return await _before(self._outbox, uuid, self.delivered)


async def _before(outbox: Known, uuid: str, delivered: Callable[[str], None]) -> str:
    """What was published under a uuid before: by another version of vcond, from the same journal."""
    entry = await outbox.get(uuid)
    if entry is None:
        return ""
    if entry.closed_at:
        delivered(uuid)
    return entry.sha512


def _say_kept(journal: CallJournal) -> None:
    metrics.dropped_total.labels("recording", "too-large").inc()
    fix = "set record.media_dir and record.media_url; copy or delete this folder yourself"
    folder = str(journal.folder)
    log.error("recording too large for a vCon; kept on this host only", call=journal.uuid, folder=folder, hint=fix)
