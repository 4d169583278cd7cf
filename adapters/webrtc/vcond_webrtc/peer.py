"""The border to aiortc: one peer connection that only receives. Only ``ports`` and ``channel`` know its libraries too."""

from __future__ import annotations

import asyncio
import functools
import logging
import mmap
import re
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from vcond.sdk.contract import ConfigError, Instant, ProtocolError, RefusedError, how_to_install
from vcond_webrtc import offers, ports
from vcond_webrtc.channel import COMFORT_NOISE, KEYS, KINDS, Packet
from vcond_webrtc.config import WebRtcConfig
from vcond_webrtc.offers import NOISE_TYPE, TICKS
from vcond_webrtc.opus import library
from vcond_webrtc.servers import login
from vcond_webrtc.trickle import MOST_CANDIDATES, directed, reachable, sections, usable

if TYPE_CHECKING:
    from aiortc import RTCIceServer, RTCPeerConnection
    from aiortc.rtcrtpparameters import RTCRtpCodecParameters

OnPacket = Callable[[int, Packet], None]
"""Number of the track, and the packet."""

NEGOTIATION: Final = 10.0
"""Seconds that an answer may take; a silent STUN server costs 5."""
CLOSING: Final = 5.0
MOST_SOURCES: Final = 64
"""SSRCs of one publisher, one after another; one with more is cut off."""
DTLS_FAILED: Final = "dtls-failed"
ICE_FAILED: Final = "ice-failed"
"""In the place of ``failed``."""
FLOODED: Final = "too-many-sources"
"""In the place of a state of the connection: it is to be closed."""
BUFFER: Final = "_RTCRtpReceiver__jitter_buffer"
"""Where aiortc (1.13 to 1.16) keeps what we replace."""
DROP_IN: Final = "systemd/vcond.service.d/webrtc.conf"


def available() -> None:
    """Import what the extra brings. Raises ConfigError without it, and where systemd forbids it to work."""
    try:
        import aiortc  # noqa: F401 - only whether it is there

        library()
    except ImportError as why:
        raise ConfigError(f"needs a package that is not installed ({why.name}): {how_to_install('webrtc')}") from why
    if not executable_memory():
        raise ConfigError(
            f"this process is not allowed memory that is writable and executable, which DTLS callbacks need: "
            f"set MemoryDenyWriteExecute=no in the unit ({DROP_IN})"
        )
    # Both log addresses, and aiortc whole descriptions, at lower levels.
    for name in ("aiortc", "aioice"):
        logging.getLogger(name).setLevel(logging.WARNING)


def executable_memory() -> bool:
    """Whether cffi can make callbacks here: not under MemoryDenyWriteExecute=yes (systemd.exec(5))."""
    try:
        mmap.mmap(-1, mmap.PAGESIZE, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC).close()
    except OSError:
        return False
    return True


class Peer:
    """One publisher's connection. ``tracks`` is how many audio tracks it sends, once ``answer`` has returned."""

    def __init__(self, config: WebRtcConfig, on_packet: OnPacket, *, now: Instant = Instant(0)) -> None:  # noqa: B008 - a plain int
        """``on_packet`` takes every packet with the number of its track, at once: it must not wait.

        ``now`` is for the login at a TURN server with a shared secret.
        """
        self.tracks = 0
        self._sources: set[int] = set()
        """SSRCs that came."""
        self._candidates = 0
        self._ice: dict[str, tuple[str, str]] = {}
        """User fragment and password of the transport of each ``mid``."""
        self._mids: dict[str, str] = {}
        """What aiortc calls the section that has the transport of a ``mid``."""
        self._extras: dict[str, list[RTCRtpCodecParameters]] = {}
        """What it offered for each ``mid`` besides sound: keys, comfort noise."""
        self._config = config
        self._on_packet = on_packet
        self._ports = ports.parse(config.ports)
        self._connection = _connection(config, now)

    async def answer(self, offer: str, on_state: Callable[[str], None]) -> str:
        """The answer to an offer, with all our candidates; ``on_state`` hears of every change of the connection.

        Raises ProtocolError for what is no offer, RefusedError for one from which nothing can be received,
        TimeoutError when no answer could be made in time, ConfigError when there is nowhere to take media.
        """
        asked = offers.read(offer)
        offer = directed(reachable(asked.wanted()))
        self._candidates = offer.count("\na=candidate:")
        if self._candidates > MOST_CANDIDATES:
            raise ProtocolError("the offer has too many candidates")
        connection = self._connection
        connection.on("connectionstatechange", lambda: on_state(self._state()))
        async with asyncio.timeout(NEGOTIATION):
            await self._take(offer, asked.transports())
            for transceiver in connection.getTransceivers():
                transceiver.direction = "recvonly"
                gatherer = transceiver.receiver.transport.transport.iceGatherer
                ports.use(gatherer, self._config.addresses, self._ports)
                _widen(transceiver, self._extras.get(transceiver.mid or "", []))
                self._tap(transceiver, on_state)
            try:
                await connection.setLocalDescription(await connection.createAnswer())
            except ValueError:  # aiortc finds late what it cannot answer
                raise ProtocolError("the offer is not valid SDP") from None
        answer = asked.answer(connection.localDescription.sdp)
        if "\na=candidate:" not in answer:
            raise ConfigError("no UDP port is free for media", "adapters.webrtc.ports")
        return advertised(answer, self._config.advertise)

    def _state(self) -> str:
        """That of the connection, and of one that failed in what: the handshake (DTLS), or no way was found (ICE)."""
        connection = self._connection
        state: str = connection.connectionState
        if state != "failed":
            return state
        transports = [transceiver.receiver.transport.state for transceiver in connection.getTransceivers()]
        return DTLS_FAILED if "failed" in transports else ICE_FAILED

    async def trickle(self, fragment: str) -> int:
        """Take more addresses of the publisher (RFC 9725 section 4.3.2); returns how many were too many.

        What no check can be sent to is left out in silence, as the RFC asks. Raises ProtocolError for what is no
        fragment, RefusedError for an ICE restart: aiortc's agent has one user fragment and password for its life.
        """
        from aiortc.sdp import candidate_from_sdp

        told = [section for section in sections(fragment) if section.mid in self._ice]
        for section in told:
            ufrag, password = self._ice[section.mid]
            if section.ufrag not in {"", ufrag} or section.password not in {"", password}:
                raise RefusedError("ICE restart is not supported: publish again")
        wanted = [(section.mid, text) for section in told for text in section.candidates if usable(text)]
        try:
            parsed = [(mid, candidate_from_sdp(text.removeprefix("candidate:"))) for mid, text in wanted]
        except ValueError:  # in what follows the type
            raise ProtocolError("a candidate has the wrong form") from None
        taken = parsed[: MOST_CANDIDATES - self._candidates]
        self._candidates += len(taken)
        for mid, candidate in taken:
            candidate.sdpMid = self._mids[mid]
            await self._connection.addIceCandidate(candidate)
        return len(wanted) - len(taken)

    async def close(self) -> None:
        """End the connection; the publisher sees it closed. Done also when the caller is cancelled: sockets must go."""
        closing = asyncio.create_task(self._connection.close())
        try:
            await asyncio.wait({closing}, timeout=CLOSING)
            if closing.done():
                closing.result()
        finally:
            if not closing.done():
                await asyncio.wait({closing}, timeout=CLOSING)
                closing.cancel()

    def _tap(self, transceiver: Any, on_state: Callable[[str], None]) -> None:
        """Take the packets of a track from where aiortc would put them into its jitter buffer.

        That buffer keeps 80 ms back, drops four good frames with each one that is lost, and hands its frames to a
        thread of their own and an unbounded queue. Ours need no playout: they have their places.
        """
        receiver = transceiver.receiver
        if receiver.track is None:
            return  # the publisher does not send in this section
        if not hasattr(receiver, BUFFER):
            raise TypeError(f"this aiortc has no {BUFFER}")
        codecs = {codec.payloadType: _label(codec) for codec in transceiver._codecs}  # noqa: SLF001 - no other way
        setattr(receiver, BUFFER, _Tap(codecs, functools.partial(self._on_packet, self.tracks)))
        self.tracks += 1
        take = receiver._handle_rtp_packet  # noqa: SLF001 - what its transport calls, and where it remembers SSRCs

        async def bounded(packet: Any, arrival_time_ms: int) -> None:
            self._sources.add(packet.ssrc)
            if len(self._sources) > MOST_SOURCES:
                on_state(FLOODED)
            else:
                await take(packet, arrival_time_ms=arrival_time_ms)

        receiver._handle_rtp_packet = bounded  # noqa: SLF001 - aiortc has no other place

    async def _take(self, offer: str, transports: Mapping[str, str]) -> None:
        from aiortc import RTCSessionDescription
        from aiortc.exceptions import OperationError
        from aiortc.sdp import SessionDescription

        try:
            await self._connection.setRemoteDescription(RTCSessionDescription(offer, "offer"))
            for media in SessionDescription.parse(offer).media:
                self._extras[media.rtp.muxId] = [
                    codec for codec in media.rtp.codecs if _label(codec) not in {"", *KINDS}
                ]
                if media.ice is not None:
                    self._ice[media.rtp.muxId] = (media.ice.usernameFragment or "", media.ice.password or "")
            self._mids = dict(transports)
            self._ice |= {mid: self._ice[taken] for mid, taken in transports.items() if taken in self._ice}
        except OperationError:
            raise RefusedError("the offer has no codec that vcond can decode") from None
        except TimeoutError:
            raise
        except Exception as why:  # noqa: BLE001 - aiortc's parser lets whatever happens inside escape
            raise ProtocolError(f"the offer is not valid SDP ({type(why).__name__})") from None


class _Tap:
    """In the place of ``aiortc.jitterbuffer.JitterBuffer``: never has a frame to be decoded."""

    def __init__(self, codecs: Mapping[int, str], on_packet: Callable[[Packet], None]) -> None:
        self._codecs = codecs
        self._on_packet = on_packet

    def add(self, packet: Any) -> tuple[bool, None]:
        """Take a packet whose payload type was negotiated; returns that no picture is to be asked for, and no frame."""
        codec = self._codecs.get(packet.payload_type, "")
        if codec:
            self._on_packet(Packet(codec, packet.sequence_number, packet.timestamp, packet.payload))
        return False, None


def advertised(answer: str, address: str) -> str:
    """The answer with ``address`` in place of our host candidates' of its kind (RFC 8839 section 5.1).

    Unchanged when empty. Candidates of the other IP version stay what they are.
    """
    if not address:
        return answer
    kind, ours = ("IP6", r"\S*:\S*") if ":" in address else ("IP4", r"[0-9.]+")
    answer = re.sub(
        rf"^(a=candidate:\S+ \d+ \S+ \d+) {ours} (\d+ typ host)", rf"\1 {address} \2", answer, flags=re.MULTILINE
    )
    return re.sub(rf"^c=IN {kind} \S+", f"c=IN {kind} {address}", answer, flags=re.MULTILINE)


def _widen(transceiver: Any, extras: Sequence[RTCRtpCodecParameters]) -> None:
    """Say what we can take besides what aiortc knows of: Opus with FEC, and those of the offer that are no sound."""
    codecs = transceiver._codecs  # noqa: SLF001 - what its answer and its receiver are made of
    for codec in codecs:
        if codec.name.lower() == "opus":
            codec.parameters = {**codec.parameters, "useinbandfec": 1}  # RFC 7587 section 6.1
    codecs.extend(extras)


def _label(codec: RTCRtpCodecParameters) -> str:
    """What ``Packet.codec`` calls it; empty when it cannot be taken."""
    name = codec.name.lower()
    if name == "telephone-event" and codec.clockRate in TICKS:
        return f"{KEYS}{codec.clockRate}"
    noise = name == COMFORT_NOISE and codec.payloadType == int(NOISE_TYPE)
    return name if name in KINDS or noise else ""


async def found(config: WebRtcConfig, now: Instant) -> frozenset[str]:
    """The kinds of addresses that we have for publishers: ``host``, ``srflx`` by a STUN server, ``relay`` by TURN."""
    from aiortc import RTCIceGatherer

    gatherer = RTCIceGatherer(_servers(config, now))
    ports.use(gatherer, config.addresses, ports.parse(config.ports))
    try:
        async with asyncio.timeout(NEGOTIATION):
            await gatherer.gather()
        return frozenset(candidate.type for candidate in gatherer.getLocalCandidates())
    except TimeoutError:
        return frozenset()
    finally:
        await gatherer._connection.close()  # noqa: SLF001 - it has no close of its own


def _connection(config: WebRtcConfig, now: Instant) -> RTCPeerConnection:
    from aiortc import RTCConfiguration, RTCPeerConnection

    return RTCPeerConnection(RTCConfiguration(iceServers=_servers(config, now)))


def _servers(config: WebRtcConfig, now: Instant) -> list[RTCIceServer]:
    from aiortc import RTCIceServer

    servers = [RTCIceServer(config.stun)] if config.stun else []
    if config.turn:
        user, password = login(config, now)
        servers.append(RTCIceServer(config.turn, username=user, credential=password))
    return servers
