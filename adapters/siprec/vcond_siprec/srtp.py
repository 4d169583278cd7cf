"""SRTP: datagrams are decrypted between a port and its receiver."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any, Final

from vcond.media.rtp.formats import Format
from vcond.media.rtp.receiver import Address, Owner, RtpReceiver
from vcond.media.rtp.together import Opener, Together, side_by_side
from vcond.sdk.contract import Instant
from vcond_siprec.keys import Crypto
from vcond_siprec.libsrtp import in_place, session, suites
from vcond_siprec.sdp import Line

RTCP: Final = bytes(range(192, 224))
"""Second bytes of its packets (RFC 5761 section 4)."""


def choose(line: Line) -> Crypto | None:
    """The first key of a line whose suite we have; None when there is none."""
    return next((one for one in line.cryptos if one.suite in suites()), None)


class SecureReceiver(RtpReceiver[Instant]):
    """A receiver of a line that is encrypted. What cannot be decrypted is counted, and never heard."""

    def __init__(self, formats: Mapping[int, Format], owner: Owner[Instant], theirs: Crypto | None) -> None:
        """``theirs``: the key that the client offered, with which it encrypts what it sends; None = not known yet."""
        super().__init__(formats, owner)
        self.undecrypted = 0
        """Datagrams that were not encrypted with that key, were changed on the way, or came twice."""
        self._theirs = theirs
        self._session: Any = None
        self._opener: Opener | None = None
        if theirs is not None:
            self._use(theirs)

    def rekey(self, theirs: Crypto) -> None:
        """Another key from now on; stragglers of the old one are counted as undecrypted."""
        if theirs != self._theirs:
            self._theirs = theirs
            self._use(theirs)

    def _use(self, theirs: Crypto) -> None:
        self._session = session(theirs, inbound=True)
        self._opener = in_place(self._session)

    def feed_all(self, datagrams: Sequence[tuple[bytes, Address, Instant]]) -> None:
        """Take several, encrypted, in the order of their arrival."""
        if self._session is None:
            self.undecrypted += len(datagrams)
            return
        if type(datagrams) is Together and self._opener is not None and _all_rtp(datagrams):
            opened = datagrams.opened(self._opener)
            self.undecrypted += len(datagrams) - len(opened)
            super().feed_all(opened)
        else:
            self._singly(datagrams)

    def _singly(self, datagrams: Sequence[tuple[bytes, Address, Instant]]) -> None:
        """The same for what is not side by side, is RTCP in part, or cannot be decrypted where it lies."""
        clear: list[tuple[bytes, Address, Instant]] = []
        unprotect, wrong = self._session.unprotect, _wrong()
        for datagram, address, arrived in datagrams:
            if len(datagram) > 1 and datagram[1] in RTCP:
                super().feed_all(side_by_side(clear))
                clear = []
                self.control(datagram, address, arrived)
                continue
            try:
                clear.append((unprotect(datagram), address, arrived))
            except wrong:
                self.undecrypted += 1
        super().feed_all(side_by_side(clear))

    def control(self, datagram: bytes, address: Address, arrived: Instant) -> None:
        """Take an encrypted datagram of RTCP."""
        try:
            said = b"" if self._session is None else self._session.unprotect_rtcp(datagram)
        except _wrong():
            said = b""
        if said:
            super().control(said, address, arrived)
        else:
            self.undecrypted += 1


def _all_rtp(datagrams: Together[Instant]) -> bool:
    return len(datagrams.seconds().translate(None, RTCP)) == len(datagrams)


@cache
def _wrong() -> tuple[type[Exception], ...]:
    """What pylibsrtp raises for what it cannot decrypt; the latter two of what is no packet at all."""
    from pylibsrtp import Error

    return Error, TypeError, ValueError


def sealer(ours: Crypto) -> Callable[[bytes], bytes]:
    """What encrypts our reports, with our key. One for each key: another one would begin its count of them anew."""
    protect = session(ours, inbound=False).protect_rtcp
    return lambda report: bytes(protect(report))
