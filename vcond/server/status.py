"""How the daemon is: health, the admin socket's answers, systemd's status line."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import AbstractContextManager
from typing import Any, Protocol

import structlog

from vcond import __version__
from vcond.base import tls
from vcond.base.errors import SEVERAL, AmbiguousError
from vcond.base.time import SECOND, Instant, rfc3339
from vcond.call import events as ev
from vcond.call.diagnosis import diagnose
from vcond.capture.clock import SteadyClock
from vcond.capture.live_call import CapturedCall
from vcond.capture.live_feed import EVERY, CaptionEvent, LiveFeed
from vcond.capture.registry import CallRegistry
from vcond.config import Config
from vcond.delivery import Outbox, nobodys
from vcond.delivery.rows import figures
from vcond.journal import Store
from vcond.policy.pausing import LONGEST_PAUSE, OPERATOR, of_others
from vcond.publish.finisher import Finisher
from vcond.publish.summary import detail, summary
from vcond.publish.telling import row
from vcond.sdk.contract import Finding
from vcond.server.again import AgainAnswers
from vcond.server.consents import ConsentDoor
from vcond.server.dead_letters import DeadLetters
from vcond.server.doors import Door
from vcond.server.forgetting import ForgettingAnswers
from vcond.server.forgetting import Parts as Forgets
from vcond.server.holds import HoldAnswers
from vcond.server.holds import Parts as WithHolds
from vcond.server.ingress import WebServer
from vcond.server.ops import OpsServer
from vcond.speech.dispatcher import Speech
from vcond.speech.multi_model import Speeches

log = structlog.get_logger()

DOWN_LONG = 300_000_000_000
"""Nanoseconds after which a sink that does not answer keeps the daemon from being ready: a restart is shorter."""
STALLED = 5.0
"""Seconds without a tick after which the event loop counts as stuck."""


class Left(Protocol):
    """What is used of the journals of an earlier run."""

    @property
    def left(self) -> int:
        """How many are still to be looked at."""


class Answering(Protocol):
    """What is used of the hub."""

    @property
    def base_url(self) -> str:
        """Where it answers; empty when it does not."""


class Listening(Answering, Protocol):
    """What is used of the API."""

    @property
    def trouble(self) -> str:
        """Why nobody is answered; empty when all is well."""


class Parts(WithHolds, Forgets, Protocol):
    """What is asked of a daemon to tell how it is."""

    config: Config
    clock: SteadyClock
    registry: CallRegistry
    bus: LiveFeed
    store: Store
    finisher: Finisher
    outbox: Outbox
    web: WebServer
    ops: OpsServer
    api: Listening
    started: bool
    stopping: bool
    last_beat: float
    """By the event loop's clock, seconds."""

    @property
    def hub(self) -> Answering:
        """Where others bring their vCons."""

    @property
    def damaged(self) -> Callable[[], Iterable[Finding]]:
        """What of the records is damaged; it blocks."""

    @property
    def old_journals(self) -> Left:
        """Those of an earlier run."""

    @property
    def speech(self) -> Speech | Speeches:
        """Of one model or of several."""


class Status:
    """Answers about a running daemon. Numbers of parties are shown whole here: the socket is the operator's own."""

    def __init__(self, daemon: Parts) -> None:
        self._daemon = daemon
        self.reads: dict[str, Door] = {"status": self._status, "calls": self._calls, "call": self._call, "vcon": self._vcon,
                                       "outbox": self._outbox, "sinks": self._sinks, "findings": self._findings}  # fmt: skip
        letters, holds = DeadLetters(daemon.outbox, daemon.clock.now), HoldAnswers(daemon)
        self.forgetting = ForgettingAnswers(daemon)
        self.reads |= letters.reads | holds.reads | self.forgetting.reads
        self.writes: dict[str, Door] = {"pause": self._pause, "resume": self._resume}
        self.writes |= letters.writes | holds.writes | self.forgetting.writes | AgainAnswers(daemon).writes
        self.writes |= ConsentDoor(self._find, daemon.clock.now).writes

    def alive(self) -> dict[str, str]:
        """What makes the daemon useless: a stuck loop."""
        late = asyncio.get_running_loop().time() - self._daemon.last_beat
        return {"loop": f"stuck for {late:.1f} s"} if late > STALLED else {}

    def ready(self) -> dict[str, str]:
        """What keeps it from doing its work now."""
        daemon = self._daemon
        wrong = dict(self.alive())
        if not daemon.started:
            wrong["start"] = "not finished"
        if daemon.stopping:
            wrong["stop"] = "draining"
        for name in daemon.config.adapters:
            ok, detail = daemon.registry.attachments.said.get(name, (False, "has not reported yet"))
            if not ok:
                wrong[f"adapter {name}"] = detail or "not attached"
        if daemon.store.trouble:
            wrong["journal"] = daemon.store.trouble
        if daemon.speech.trouble:
            wrong["speech"] = daemon.speech.trouble
        if daemon.outbox.trouble:
            wrong["outbox"] = daemon.outbox.trouble
        if daemon.tombstones.trouble:
            wrong["forgotten"] = f"{daemon.tombstones.trouble}; nothing is delivered"
        if daemon.records.trouble:
            wrong["ledger"] = daemon.records.trouble
        wrong |= self._sinks_in_trouble()
        return wrong | daemon.registry.pressure.trouble

    def gives_up(self) -> dict[str, str]:
        """What calls do without now, while all of them are recorded: live captions, or texts until there is time."""
        daemon = self._daemon
        speech, calls = daemon.config.speech, daemon.speech.calls
        captions = speech.partials and speech.where != "queue"
        told = {"have no live captions": captions and calls["finals"], "get their texts later": calls["deferred"]}
        behind = ", ".join(f"{count} calls {what}" for what, count in told.items() if count)
        return daemon.registry.pressure.short | (
            {"speech": f"{behind}: too much speech for this machine"} if behind else {}
        )

    def line(self) -> str:
        """One line for ``systemctl status``."""
        wrong = "; ".join(f"{part}: {what}" for part, what in self.ready().items())
        for part, what in (("metrics", self._daemon.ops.trouble), ("api", self._daemon.api.trouble)):
            wrong += f"; {part}: {what}" if what else ""
        return f"{len(self._daemon.registry.live)} calls" + (f"; {wrong}" if wrong else "")

    def watch(self, call: str = EVERY) -> AbstractContextManager[AsyncIterator[CaptionEvent]]:
        """What is said and happens from now on: of everything, or of one call until its end, by the beginning of its id."""
        return self._find({"call": call}).captions() if call else self._daemon.bus.watch()

    async def _status(self, _: dict[str, str]) -> Any:
        daemon = self._daemon
        return {
            "version": __version__,
            "ready": self.ready(),
            "calls": len(daemon.registry.live),
            "finishing": daemon.finisher.busy,
            "amending": len(daemon.finisher.amender),
            "unfinished": len(daemon.registry.recovery),
            "old_journals": daemon.old_journals.left,
            "adapters": {
                name: {"attached": ok, "detail": why} for name, (ok, why) in daemon.registry.attachments.said.items()
            },
            "listen": daemon.web.base_url,
            "ops": daemon.ops.base_url,
            "api": daemon.api.base_url,
            "hub": daemon.hub.base_url,
            "speech": daemon.speech.status(),
            "pressure": daemon.registry.pressure.status(),
            "outbox": [
                {"sink": sink, "state": state, "vcons": count, "oldest": rfc3339(Instant(oldest))}
                for sink, state, count, oldest in await _figures(daemon.outbox)
            ],
            "unmatched": await _nobodys(daemon.outbox),
            "metrics": daemon.ops.trouble,
            "expired": {at: f"{until:%Y-%m-%d}" for at, until in tls.expired().items()},
            "damaged": [
                {"what": one.what, "detail": one.detail, "fix": one.fix}
                for one in await asyncio.to_thread(lambda: list(daemon.damaged()))
            ],
            "signs": bool(daemon.config.seal.key and daemon.config.seal.certificates),
        }

    async def _calls(self, query: dict[str, str]) -> Any:
        """All that go on, or ``only`` some of them."""
        now, flags = self._daemon.clock.now(), self._daemon.finisher.findings.flags
        only, live = query.get("only", ""), self._daemon.registry.live
        if only:
            wanted = frozenset(only.split(","))
            live = [one for one in live if one.uuid in wanted]
        return [summary(one.state, one.not_recorded, now=now) | {"flags": flags(one.state)} for one in live]

    async def _call(self, query: dict[str, str]) -> Any:
        call, findings = self._find(query), self._daemon.finisher.findings
        told = detail(call.state, call.not_recorded, now=self._daemon.clock.now())
        told["findings"] = findings.hinted(call.state.adapter, told["findings"])
        return told | {"flags": findings.flags(call.state)}

    async def _findings(self, _: dict[str, str]) -> Any:
        """What is missing in calls that go on and in the last that ended, and what the daemon is short of."""
        daemon = self._daemon
        now = daemon.clock.now()
        live = [row(call.state, diagnose(call.state, now=now)) for call in daemon.registry.live]
        calls, hinted = [*live, *reversed(daemon.finisher.findings.last)], daemon.finisher.findings.hinted
        told = [one | {"findings": hinted(one["adapter"], one["findings"])} for one in calls]
        return {"short_of": self.ready(), "calls": told}

    async def _vcon(self, query: dict[str, str]) -> Any:
        """Where a vCon went, by its id or the beginning of it, of the latest thousand."""
        wanted = query.get("call", "-")
        exact = await self._daemon.outbox.get(wanted)
        found = (
            [exact] if exact else [e for e in await self._daemon.outbox.list(limit=1000) if e.uuid.startswith(wanted)]
        )
        if len(found) != 1:
            raise AmbiguousError(SEVERAL) if found else LookupError("no vCon has this id")
        (entry,) = found
        sinks = [{"sink": one.sink, "state": one.state, "target": one.target, "confirmed": one.confirmed}
                 for one in entry.sinks]  # fmt: skip
        return {"call": entry.uuid, "vcon": entry.uuid, "bytes": entry.bytes, "sinks": sinks}

    def _sinks_in_trouble(self) -> dict[str, str]:
        """Those that wait for somebody at once, others when they have been down for a while."""
        now, wrong = self._daemon.clock.now(), {}
        for one in self._daemon.outbox.sinks():
            if one.state == "held" or (one.state == "down" and now - one.since > DOWN_LONG):
                wrong[f"sink {one.sink}"] = f"{one.reason}: {one.detail}; vCons wait"
            elif one.size_limit:
                wrong[f"sink {one.sink}"] = f"{one.detail}; vCons of {one.size_limit} bytes and more wait"
        return wrong

    async def _sinks(self, _: dict[str, str]) -> Any:
        confirmations = await self._daemon.outbox.confirmations()
        return [
            {"sink": one.sink, "state": one.state, "reason": one.reason, "detail": one.detail, "fix": one.hint,
             "since": rfc3339(Instant(one.since)) if one.since else "", "next_try": rfc3339(Instant(one.next_at)) if one.next_at else "",
             "size_limit": one.size_limit, "confirmations": confirmations.get(one.sink, {})}
            for one in self._daemon.outbox.sinks()
        ]  # fmt: skip

    async def _outbox(self, _: dict[str, str]) -> Any:
        return [
            {"uuid": entry.uuid, "sink": one.sink, "state": one.state, "attempts": one.attempts,
             "reason": one.reason, "answer": one.answer, "bytes": entry.bytes, "facts": entry.facts,
             "published": rfc3339(Instant(entry.published_at)),
             "last_try": rfc3339(Instant(one.last_at)) if one.last_at else "",
             "next_try": rfc3339(Instant(one.next_at)) if one.next_at and one.state == "pending" else ""}
            for entry in await self._daemon.outbox.list(undelivered=True, limit=1000)
            for one in [lacks for lacks in entry.sinks if lacks.state not in {"delivered", "unmatched"}] or entry.sinks
        ]  # fmt: skip

    async def _pause(self, query: dict[str, str]) -> Any:
        call = self._find(query)
        now, seconds = self._daemon.clock.now(), query.get("seconds", "")
        until = Instant(now + _seconds(seconds) * SECOND) if seconds else None
        call.emit(ev.RecordingPaused(at=now, reason=query.get("reason", "")[:64], by=OPERATOR.by, until=until))
        return summary(call.state, call.not_recorded)

    async def _resume(self, query: dict[str, str]) -> Any:
        call = self._find(query)
        if query.get("force") == "yes" and of_others(call.state.pauses, OPERATOR, call.state.parties):
            self._override(call, query.get("reason", "")[:64])
        elif call.state.ending(*OPERATOR):
            call.emit(ev.RecordingResumed(at=self._daemon.clock.now(), by=OPERATOR.by))
        return summary(call.state, call.not_recorded)

    def _override(self, call: CapturedCall, reason: str) -> None:
        call.emit(ev.PauseOverridden(at=self._daemon.clock.now(), by=OPERATOR.by, reason=reason))
        if not call.state.paused:
            log.warning("recording resumed by the operator although a participant had paused it", call=call.uuid)

    def _find(self, query: dict[str, str]) -> CapturedCall:
        call = self._daemon.registry.find(query.get("call", "-"))
        if call is None:
            raise LookupError("no active call with this id")
        return call


def _seconds(text: str) -> int:
    """Raises ValueError that says how many there may be."""
    if not text.isdecimal() or not 0 < int(text[:6]) <= LONGEST_PAUSE:
        raise ValueError(f"seconds must be a whole number from 1 to {LONGEST_PAUSE}: {text[:64]!r}")
    return int(text[:6])


async def _figures(outbox: Outbox) -> list[tuple[str, str, int, int]]:
    """What waits, by sink and state; nothing is known before the outbox is open, and ``ready`` says that it is not."""
    return await outbox.tell("read the outbox", figures) if outbox.opened.is_set() else []


async def _nobodys(outbox: Outbox) -> int:
    """How many vCons are for no sink."""
    return (await outbox.tell("read the outbox", nobodys.count)).vcons if outbox.opened.is_set() else 0
