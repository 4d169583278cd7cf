"""One media line of a recording session: a port of ours, what comes there, and into whose track it goes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Protocol

from vcond.media.rtp.formats import Format
from vcond.media.rtp.ports import RtpSocket
from vcond.media.rtp.receiver import Pressed, Stream, Writer
from vcond.sdk.contract import (
    AdapterHost,
    BadMediaError,
    Codec,
    Dtmf,
    Instant,
    LiveCall,
    ProtocolError,
    RtpClock,
    SpanKind,
    Track,
    Warned,
    how_to_install,
)
from vcond.sdk.decoding import Decoder, decoder
from vcond_siprec.dtls import DtlsReceiver
from vcond_siprec.keys import Crypto
from vcond_siprec.recordings import Person
from vcond_siprec.sdp import Line
from vcond_siprec.srtp import SecureReceiver, choose, sealer

NOT_PACKETS: Final = ("overflow", "foreign", "unknown", "refused", "bad", "other")
"""What a receiver counts of datagrams that nobody gets."""
LARGEST_RATE: Final = 48_000
"""Samples a second that a track takes."""


class Owner(Protocol):
    """Whose line it is: the session."""

    def call_for(self, line: AudioLine, at: Instant) -> LiveCall | None:
        """The call that sound which came ``at`` then belongs to, opened for it if need be; None when none is wanted."""
        ...

    def heard(self, line: AudioLine, at: Instant) -> None:
        """Sound came that is wanted."""
        ...


class AudioLine:
    """Receives one line. It goes on over every change of the session: the same port, the same party's track."""

    def __init__(self, host: AdapterHost, owner: Owner, offered: Line, *, reports: bool = True) -> None:
        """``reports``: the client is told what comes of its audio, once ``agree`` finds a socket."""
        self.offered = offered
        """As it stands in the latest offer."""
        self.socket: RtpSocket[Instant] | None = None
        self.crypto: Crypto | None = None
        """Our key, where the line is encrypted: what we would send with."""
        self.person: Person | None = None
        """Whose track it goes to."""
        self.mixed: list[Person] = []
        """Who is heard on it, where it is several: then ``person`` stands for all of them."""
        self.wanted = True
        """Whether sound that comes is kept; not on a line that says it sends nothing."""
        self.since = host.clock.now()
        """When it was last told to send."""
        self.last: Instant | None = None
        """When sound that is wanted came last."""
        self.unwanted = 0
        """Frames, of one packet or several, that came although the line says that it sends nothing."""
        self._host = host
        self._owner = owner
        self._held: Instant | None = None
        self._sound: _Sound | None = None
        self._undecoded = False
        self._packets = 0
        self._reports = reports
        self._sealed: Crypto | None = None
        self._seal: Callable[[bytes], bytes] | None = None

    # The receiver's owner.

    def stream(self, stream: Stream[Instant]) -> Writer[Instant] | None:
        """A stream begins: the first one, a new SSRC, another format."""
        made = _Sound(self._host, self, stream.format)
        if not made.can_be_kept:
            self._tell_undecoded(stream)
            return None
        self._sound = made
        return made

    def pressed(self, key: Pressed[Instant]) -> None:
        """A key was pressed."""
        if not self.wanted:
            return
        call = self._owner.call_for(self, key.at)
        if call is not None and self.party >= 0:
            call.emit(Dtmf(at=key.at, party=self.party, button=key.button, ms=key.ms))

    def silent(self, since: Instant, until: Instant) -> None:
        """Comfort noise that lasts."""
        if self._sound is not None and self._sound.track is not None:
            self._sound.track.absent(since, until, SpanKind.SILENT)

    def over(self, stream: Stream[Instant], at: Instant) -> None:
        """RTCP said goodbye: what the session says counts."""

    # The session's side.

    def agree(self, offered: Line) -> None:
        """A newer offer says this of it."""
        if offered.payloads() != self.offered.payloads() and self.socket is not None:
            self.flush()
            self.socket.receiver.agree(offered.payloads())
        self._rekey(offered)
        if self.socket is not None:
            self.socket.receiver.name(offered.host)
        self.offered = offered
        self._report()

    def _report(self) -> None:
        """Tell the client what comes of its audio, where it wants that now."""
        if not self._reports or self.socket is None:
            return
        if isinstance(self.socket.receiver, DtlsReceiver):
            if self.socket.receiver.seal is not None and self.offered.mux:  # a port for RTCP would have keys of its own
                self.socket.report(0, self.socket.receiver.seal)
            return
        if self.crypto is not self._sealed:
            self._sealed, self._seal = self.crypto, None if self.crypto is None else sealer(self.crypto)
        self.socket.report(self.offered.reports, self._seal)

    def _rekey(self, offered: Line) -> None:
        receiver = None if self.socket is None else self.socket.receiver
        if isinstance(receiver, DtlsReceiver) and self.socket is not None:
            receiver.begin(self.socket, offered, self._report)
            return
        theirs = choose(offered)
        if not isinstance(receiver, SecureReceiver) or theirs is None or self.crypto is None:
            return
        self.flush()
        receiver.rekey(theirs)
        if (theirs.tag, theirs.suite) != (self.crypto.tag, self.crypto.suite):
            self.crypto = theirs.ours()

    @property
    def party(self) -> int:
        """The index of the party whose it is; -1 when there is none."""
        return -1 if self.person is None else self.person.index

    def belongs_to(self, person: Person, mixed: list[Person], at: Instant) -> None:
        """Whose it is from now on. Sound of somebody else goes on in a track of its own."""
        before, self.person, self.mixed = self.person, person, mixed
        if before is not person and self._sound is not None:
            self._sound.cut(at)

    def want(self, at: Instant, *, wanted: bool) -> None:
        """Whether its sound is kept from now on. What has come before is taken first.

        Said again of a line that sends nothing, it tells until when nobody misses its sound.
        """
        self.flush()
        if self._held is not None and self._sound is not None and self._sound.track is not None:
            self._sound.track.absent(self._held, at, SpanKind.HELD)
        if wanted == self.wanted:
            return
        self.wanted, self._held = wanted, None if wanted else at
        self.since = at if wanted else self.since

    def came(self) -> bool:
        """Whether RTP came since this was asked last: sound, also such as cannot be decoded, comfort noise, keys."""
        if self.socket is None:
            return False
        stats = self.socket.receiver.stats
        before, self._packets = self._packets, stats.packets + stats.unknown
        return self._packets != before

    def flush(self) -> None:
        """Take what has come to the port."""
        if self.socket is not None:
            self.socket.flush()

    def cut(self, at: Instant) -> None:
        """The track ends; should sound come again it gets another one."""
        if self._sound is not None:
            self._sound.cut(at)

    def stop(self, at: Instant) -> None:
        """No more is taken. The port stays ours until its socket is closed, so that nobody else gets what still comes."""
        if self.socket is None:
            return
        self.flush()
        self.socket.goodbye()
        self.socket.receiver.close(at)
        stats = self.socket.receiver.stats
        for reason in NOT_PACKETS:
            if number := getattr(stats, reason):
                self._host.dropped("packet", reason, number)
        if isinstance(self.socket.receiver, SecureReceiver) and self.socket.receiver.undecrypted:
            self._host.dropped("packet", "undecrypted", self.socket.receiver.undecrypted)
        if self.unwanted:
            self._host.dropped("frame", "inactive", self.unwanted)
        self._sound = None

    @property
    def port(self) -> int:
        """Ours."""
        assert self.socket is not None
        return self.socket.address[1]

    def close(self) -> None:
        """Let the port go."""
        if self.socket is not None:
            self.socket.close()

    # The sound's side.

    def take(self, arrived: Instant) -> LiveCall | None:
        """A packet of sound came: the call that it is kept in; None when it is not kept."""
        if not self.wanted:
            self.unwanted += 1
            if self.unwanted == 1:
                self._warn(
                    arrived, "audio-while-inactive", "audio came on a line that the client had stopped; it was not kept"
                )
            return None
        call = self._owner.call_for(self, arrived)
        if call is not None:
            self.last = max(arrived, self.last or arrived)
            self._owner.heard(self, arrived)
        return call

    def _tell_undecoded(self, stream: Stream[Instant]) -> None:
        if self._undecoded:
            return
        self._undecoded = True
        self._host.dropped("stream", "codec")
        self._host.log.error(
            "audio not recorded: its codec cannot be decoded",
            codec=stream.format.name,
            hint=f"{how_to_install('siprec')}; or let the client offer PCMU or PCMA",
        )
        self._warn(stream.at, "codec", "audio came in a codec that cannot be decoded and is not in the record")

    def _warn(self, at: Instant, code: str, text: str) -> None:
        call = self._owner.call_for(self, at)
        if call is not None and not any(warning.code == code for warning in call.state.warnings):
            call.emit(Warned(at=at, code=code, text=text))


class _Sound:
    """One stream of a line, into one track after another."""

    def __init__(self, host: AdapterHost, line: AudioLine, format: Format) -> None:  # noqa: A002 - what SDP calls it
        self.track: Track | None = None
        self._call: LiveCall | None = None
        """Whose the track is; the core may end a call and have another one begun."""
        self._host = host
        self._line = line
        self._format = format
        self._decoder: Decoder | None = None
        self._codec, self._rate = format.codec, format.rate
        if self._codec is None:
            self._decoder = decoder(format.name)
            if self._decoder is not None:
                self._codec, self._rate = Codec.L16, self._decoder.rate

    @property
    def can_be_kept(self) -> bool:
        """Whether a track takes it."""
        return self._codec is not None and 8_000 <= self._rate <= LARGEST_RATE

    def write(self, payload: bytes, *, arrived: Instant, stamp: int | None = None, seq: int | None = None) -> None:
        """A packet in any order; an empty one only has its number."""
        if not payload:
            if self.track is not None:
                self.track.write(b"", arrived=arrived, stamp=stamp, seq=seq)
            return
        call = self._line.take(arrived)
        if call is None:
            return
        if self.track is None or call is not self._call:
            self.track, self._call = self._open(call, arrived), call
        if self._decoder is not None:
            try:
                payload = self._decoder.decode(payload)
            except BadMediaError:
                self._host.dropped("frame", "bad-media")
                payload = b""
        if self.track is not None:
            self.track.write(payload, arrived=arrived, stamp=stamp, seq=seq)

    def _open(self, call: LiveCall, at: Instant) -> Track | None:
        assert self._codec is not None
        try:
            return call.track(
                self._line.party, at=at, codec=self._codec, rate=self._rate, clock=RtpClock(self._format.rate),
                source="" if self._decoder is None else self._format.name.upper(),
            )  # fmt: skip
        except ProtocolError:
            self._host.dropped("frame", "bad-media")
            return None

    def cut(self, at: Instant) -> None:
        """The track ends here; the stream may go on in another one."""
        track, self.track = self.track, None
        if track is not None:
            track.close(at=at)

    def close(self, *, at: Instant) -> None:
        """No more will come."""
        self.cut(at)
