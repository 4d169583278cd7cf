"""The recording server: SIP requests in, answers out, and a session behind each dialog."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Final

from vcond.sdk.contract import SECOND, AdapterHost, ConfigError, Instant, ProtocolError, how_to_install
from vcond.sdk.contract import Call as CallState
from vcond.sdk.mistakes import mistake
from vcond.sip.application import Answer, Dialog, DialogId, End
from vcond.sip.messages import Request
from vcond_siprec import dtls
from vcond_siprec.body import SDP, Body, take_apart
from vcond_siprec.config import SiprecConfig
from vcond_siprec.media import MediaPorts
from vcond_siprec.recordings import Recordings
from vcond_siprec.saved import DIALOG, SESSION, SavedSession
from vcond_siprec.sdp import DTLS, PLAIN, SECURE, Line, answer, offer, read
from vcond_siprec.sdp import Session as Description
from vcond_siprec.session import Session
from vcond_siprec.srtp import choose

ALIVE: Final = 30 * SECOND
"""A session of which something came this recently goes on, whatever its timer says."""
BUSY: Final = "10"
"""Retry-After of what may pass."""
SPARE: Final = Line("audio", 0, "RTP/AVP", ("0",), direction="sendonly")
"""A line of which the client has said nothing yet: the offer was ours."""


@dataclass(slots=True)
class Call:
    """A dialog, and what was agreed in it."""

    dialog: Dialog
    session: Session
    number: int = field(default_factory=lambda: secrets.randbelow(1 << 62))
    version: int = 0
    offered: bool = False
    """The offer was ours, and its answer has not come yet."""
    renewed: bytes = b""
    """Our latest description as an offer: all that is received is wanted again, whatever was stopped."""
    numbers: tuple[int, ...] = (0,)
    """Which lines of it are those of the session, in their order."""
    mistaken: bool = False
    """A mistake of ours with it was told."""

    def saved(self) -> str:
        """For ``vcond_siprec.saved.parsed``; empty for what cannot be written down, as keys of audio."""
        session = self.session
        if session.people is None or any(line.offered.protocol not in PLAIN for line in session.lines):
            return ""
        return SavedSession(
            session.call_id, self.number, self.version, self.offered, self.renewed.decode(), self.numbers,
            session.said.identity, session.said.documented, session.said.participants,
            session.people.saved(session.lines),
            [(replace(line.offered, cryptos=()), line.port) for line in session.lines],
        ).text()  # fmt: skip


class Recorder:
    """The application behind the SIP server (``vcond.sip.application.Application``)."""

    def __init__(self, host: AdapterHost, config: SiprecConfig, media: MediaPorts, recordings: Recordings) -> None:
        self.calls: dict[DialogId, Call] = {}
        self._host = host
        self._config = config
        self._media = media
        self._recordings = recordings

    # What the SIP server asks.

    def health(self) -> int:
        """0, or seconds until new calls are welcome again."""
        return int(BUSY) if self._host.stopping or len(self.calls) >= self._config.max_sessions else 0

    async def on_invite(self, dialog: Dialog, request: Request) -> Answer:
        """A recording session begins."""
        body = take_apart(request.content_type, request.body)
        session = Session(
            self._host, self._recordings, request.call_id, request.headers, inactive=self._config.inactive
        )
        call = Call(dialog, session)
        if not body.descriptions:
            if body.others:
                return Answer.refused(415, ("Accept", f"{SDP}, multipart/mixed"))
            return await self._begin_with_ours(dialog, call, body)
        return await self._agree(dialog, call, body, request, first=True)

    async def on_reinvite(self, dialog: Dialog, request: Request) -> Answer:
        """The session changes. One without a description asks for ours, and gives its own with the ACK."""
        return await self.on_update(dialog, request, ours=True)

    async def on_update(self, dialog: Dialog, request: Request, *, ours: bool = False) -> Answer:
        """The same without an ACK; one that is about people only is answered without a description."""
        call = self.calls.get(dialog.id)
        if call is None:
            return Answer.refused(481)
        body = take_apart(request.content_type, request.body)
        if body.descriptions:
            return await self._agree(dialog, call, body, request)
        call.session.change(body, None, request.headers)
        call.offered |= ours
        return Answer(body=call.renewed) if ours else Answer()

    def on_ack(self, dialog: Dialog, request: Request) -> None:
        """Our answer has arrived; where the offer was ours, theirs is in here."""
        call = self.calls.get(dialog.id)
        if call is None or not call.offered:
            return
        call.offered = False
        body = take_apart(request.content_type, request.body)
        description = _usable(body)
        if description is None:
            call.session.change(body, None)
            return
        for line, number in zip(call.session.lines, call.numbers, strict=True):
            if number < len(description.lines):
                line.agree(description.lines[number])
        call.session.change(body, call.session.lines)
        self.on_changed(dialog)

    def on_info(self, dialog: Dialog, request: Request) -> None:
        """Some clients pass keys and remarks on like this; they are in the audio, or of no use here."""

    def on_changed(self, dialog: Dialog) -> None:
        """Write down what another process needs to go on with it."""
        call = self.calls.get(dialog.id)
        if call is not None and call.session.recording is not None:
            at, tag = self._host.clock.now(), dialog.id.local_tag
            call.session.recording.keep(at, DIALOG + tag, dialog.saved().decode())
            call.session.recording.keep(at, SESSION + tag, call.saved())

    def alive(self, dialog: Dialog) -> bool:
        """Whether a session goes on although its timer ran out."""
        call = self.calls.get(dialog.id)
        if call is None:
            return False
        for line in call.session.lines:
            line.flush()
        now = self._host.clock.now()
        call.session.tick(now)
        return now - call.session.silence.alive < ALIVE

    def odd(self, reason: str) -> None:
        """Something was dropped or refused."""
        self._host.dropped("sip", reason)

    def on_end(self, dialog: Dialog, why: End, request: Request | None) -> None:  # noqa: ARG002 - the protocol has it
        """The session is over."""
        call = self.calls.pop(dialog.id, None)
        if call is None:
            return
        if why not in {End.BYE, End.CANCELLED}:
            self._host.dropped("session", why.value)
        with ExitStack() as all_the_same:  # whatever fails of it: the rest is done
            all_the_same.callback(self._media.rest, list(call.session.lines))
            all_the_same.callback(_end_of(call, why, self._host.clock.now()))
            if call.session.recording is not None:
                for part in (DIALOG, SESSION):
                    call.session.recording.keep(self._host.clock.now(), part + dialog.id.local_tag, "")

    # Ours.

    async def resume(self, dialog: Dialog, state: CallState, saved: SavedSession) -> Session:
        """Go on with a session that another process wrote down; ``Session.tell`` is to follow.

        Raises ConfigError when one of its ports is in use.
        """
        session = Session(self._host, self._recordings, saved.call_id, saved.headers, inactive=self._config.inactive)
        lines = await self._media.again(session, saved.lines)
        session.resume(self._recordings.again(state), saved, lines)
        self.calls[dialog.id] = Call(
            dialog, session, saved.number, saved.version, saved.offered, saved.renewed.encode(), saved.numbers
        )
        return session

    def tick(self, now: Instant) -> list[Dialog]:
        """Time passes; the dialogs whose sessions are over without having said so are returned, those that fail as well."""
        lost: list[Dialog] = []
        for call in list(self.calls.values()):
            with _alone(self._host, call):
                call.session.tick(now)
            since = _lost_since(call, self._config, now)
            if since is not None:
                lost.append(call.dialog)
                with _alone(self._host, call):
                    call.session.lose(since)
        return lost

    async def _begin_with_ours(self, dialog: Dialog, call: Call, body: Body) -> Answer:
        """The client leaves the offer to us (RFC 3261 section 13.2.1)."""
        try:
            line = await self._media.line(call.session, SPARE)
        except ConfigError as why:
            return self._no_port(why)
        call.offered = True
        call.version += 1
        self.calls[dialog.id] = call
        call.session.begin(body, [line])
        call.renewed = offer(line.port, host=self._address(dialog), version=call.version, number=call.number)
        return Answer(body=call.renewed)

    async def _agree(self, dialog: Dialog, call: Call, body: Body, request: Request, *, first: bool = False) -> Answer:
        """Answer an offer; a session begins with it, or changes."""
        description = _usable(body)
        if description is None:
            self._host.dropped("offer", "malformed")
            return Answer.refused(400 if first else 488)
        wanted = [number for number in description.audio if _can_be_received(description.lines[number])]
        ended = all(not line.port for line in description.lines if line.media == "audio")
        if not dtls.available() and any(description.lines[number].protocol in DTLS for number in description.audio):
            self._host.log.error(
                "audio refused: it comes with DTLS-SRTP, for which aiortc is not installed",
                hint=f"{how_to_install('webrtc')}; or let the client offer RTP/AVP, or RTP/SAVP with keys",
            )
        if not wanted and (first or not ended):
            self._host.dropped("offer", "unusable")
            return Answer.refused(488)
        wanted = wanted[: self._config.max_lines]
        before = list(call.session.lines)
        try:
            lines = await self._media.lines(call.session, [description.lines[number] for number in wanted])
        except ConfigError as why:
            return self._no_port(why)
        by_number = dict(zip(wanted, lines, strict=True))
        if first:
            try:
                call.session.begin(body, lines)
            except BaseException:  # it is refused: what it had goes
                self._media.rest(lines)
                with suppress(Exception):
                    call.session.end(self._host.clock.now())
                raise
            self.calls[dialog.id] = call
        else:
            call.session.change(body, lines, request.headers)
            self._media.rest([line for line in before if line not in lines])
        places = [self._media.place(line, by_number.get(number)) for number, line in enumerate(description.lines)]
        call.version += 2  # one of them for an offer of ours that may come between
        told = partial(answer, description, host=self._address(dialog), number=call.number)
        answered = told(places, version=call.version)
        call.numbers = tuple(by_number)
        again = [replace(place, receives=number in by_number) for number, place in enumerate(places)]
        call.renewed = told(again, version=call.version + 1)
        return Answer(body=answered)

    def _address(self, dialog: Dialog) -> str:
        return self._config.advertise or self._config.told or dialog.flow.local[0]

    def _no_port(self, why: ConfigError) -> Answer:
        self._host.dropped("offer", "no-port")
        self._host.log.error(
            "recording session refused: no free port for its audio",
            error=str(why),
            hint="make the range of ports larger",
        )
        return Answer.refused(503, ("Retry-After", BUSY))


@contextmanager
def _alone(host: AdapterHost, call: Call) -> Iterator[None]:
    """A mistake with one call is told once, and costs the others nothing."""
    try:
        yield
    except Exception as why:  # noqa: BLE001 - see above
        if not call.mistaken:
            call.mistaken = True
            mistake(host, "a recording session", why)


def _end_of(call: Call, why: End, now: Instant) -> Callable[[], None]:
    """What ends its session; one that was not refreshed was over when it was heard last, and nobody said so."""
    since = call.session.silence.since(call.session.lines) if why is End.EXPIRED else None
    return partial(call.session.end, now) if since is None else partial(call.session.lose, since)


def _lost_since(call: Call, config: SiprecConfig, now: Instant) -> Instant | None:
    """Since when nothing came of it, if that is for too long: then it is over."""
    silent = call.session.silence.since(call.session.lines)
    since, limit = (silent, config.silence_timeout) if silent else (call.session.changed, config.paused_timeout)
    return None if now - since < limit * SECOND else since


def _usable(body: Body) -> Description | None:
    """The first description that can be read."""
    for text in body.descriptions:
        try:
            return read(text)
        except ProtocolError:
            continue
    return None


def _can_be_received(line: Line) -> bool:
    """Whether it is clear text, or encrypted with a key that can be used, or had."""
    return line.protocol in PLAIN or (line.protocol in SECURE and choose(line) is not None) or dtls.usable(line)
