"""Ports for lines: ours for each of theirs, one for all that is not wanted, and a rest before any is used again."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final

from vcond.media.rtp.ports import RtpPorts, RtpSocket
from vcond.media.rtp.receiver import RtpReceiver, Stream
from vcond.sdk.contract import AdapterHost, ConfigError, Instant
from vcond_siprec import dtls
from vcond_siprec.dtls import DtlsReceiver
from vcond_siprec.lines import AudioLine
from vcond_siprec.sdp import DTLS, SECURE, Line, Place
from vcond_siprec.session import Session
from vcond_siprec.srtp import SecureReceiver, choose

QUARANTINE: Final = 30.0
"""Seconds that a port stays ours after its line is over: clients go on sending for so long (measured)."""


class Nobody:
    """Owner of the port to which lines lead that are not wanted."""

    def stream(self, stream: Stream[Instant]) -> None:
        """Nothing is wanted."""

    def pressed(self, key: object) -> None:
        """Neither are keys."""

    def silent(self, since: Instant, until: Instant) -> None:
        """Nor silence."""

    def over(self, stream: Stream[Instant], at: Instant) -> None:
        """Nor an end."""


class MediaPorts:
    """All of one run."""

    def __init__(self, host: AdapterHost, ports: RtpPorts[Instant], *, reports: bool = True) -> None:
        """``reports``: clients are told what comes of their audio."""
        self._host = host
        self._ports = ports
        self._reports = reports
        self._spare: RtpSocket[Instant] | None = None
        self._resting: set[asyncio.TimerHandle] = set()

    async def open(self) -> None:
        """Open the port for what is not wanted. Raises ConfigError."""
        self._spare = await self._ports.open(RtpReceiver({}, Nobody()))

    def close(self) -> None:
        """Nothing waits any more; who made the ports closes them."""
        for timer in self._resting:
            timer.cancel()

    def place(self, line: Line, ours: AudioLine | None) -> Place:
        """What is answered to a line that is ours, or is not wanted."""
        if not line.port:
            return Place(0)
        if ours is not None:
            receiver = None if ours.socket is None else ours.socket.receiver
            fingerprint = receiver.fingerprint if isinstance(receiver, DtlsReceiver) else ""
            return Place(ours.port, receives=line.sends, crypto=ours.crypto, fingerprint=fingerprint)
        assert self._spare is not None
        theirs = choose(line)
        return Place(self._spare.address[1], crypto=None if theirs is None else theirs.ours())

    async def lines(self, session: Session, offered: Sequence[Line]) -> list[AudioLine]:
        """Our line for each of theirs: the one with the same label, else the one at the same place, else a new one.

        Raises ConfigError when no port can be had; nothing is open then that was not before.
        """
        before = list(session.lines)
        found: dict[int, AudioLine] = {}
        for number, line in enumerate(offered):
            same = (one for one in before if line.label is not None and _follows(line, one, label=True))
            if (ours := next(same, None)) is not None:
                found[number] = ours
                before.remove(ours)
        for number in range(len(offered)):
            ours = session.lines[number] if number < len(session.lines) else None
            if number not in found and ours in before and _follows(offered[number], ours, label=False):
                found[number] = ours
                before.remove(found[number])
        made: list[AudioLine] = []
        try:
            for number, line in enumerate(offered):
                if number not in found:
                    found[number] = await self.line(session, line)
                    made.append(found[number])
        except ConfigError:
            for ours in made:
                ours.close()
            raise
        for number, line in enumerate(offered):
            found[number].agree(line)
        return [found[number] for number in range(len(offered))]

    async def again(self, session: Session, saved: Sequence[tuple[Line, int]]) -> list[AudioLine]:
        """Those of an earlier run, on the same ports. Raises ConfigError when one is in use; then none is open."""
        made: list[AudioLine] = []
        try:
            for offered, port in saved:
                made.append(await self.line(session, offered, port))
        except ConfigError:
            for line in made:
                line.close()
            raise
        return made

    async def line(self, session: Session, offered: Line, port: int = 0) -> AudioLine:
        """A new one, on any port or that one. Raises ConfigError when it cannot be had."""
        line = AudioLine(self._host, session, offered, reports=self._reports)
        theirs = choose(offered) if offered.protocol in SECURE else None
        receiver: RtpReceiver[Instant]
        if offered.protocol in DTLS:
            await dtls.load()
            receiver = DtlsReceiver(offered.payloads(), line, self._host)
        elif theirs is None:
            receiver = RtpReceiver(offered.payloads(), line)
        else:
            receiver, line.crypto = SecureReceiver(offered.payloads(), line, theirs), theirs.ours()
        line.socket = await self._ports.open(receiver, port)
        line.agree(offered)
        return line

    def rest(self, lines: Sequence[AudioLine]) -> None:
        """Close ports, but not before what still comes there is over."""
        loop = asyncio.get_running_loop()
        for line in lines:

            def close(line: AudioLine = line) -> None:
                line.close()
                self._resting = {timer for timer in self._resting if timer.when() > loop.time()}

            self._resting.add(loop.call_later(QUARANTINE, close))


def _follows(line: Line, ours: AudioLine, *, label: bool) -> bool:
    """Whether a line can go on as one of ours: by its label, or its place; and encrypted as before, or not."""
    told = ours.offered
    same = all((told.protocol in kind) == (line.protocol in kind) for kind in (SECURE, DTLS))
    return (told.label == line.label or not label) and same
