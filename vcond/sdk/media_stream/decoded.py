"""Frames of a codec that no track takes as it is."""

from __future__ import annotations

from vcond.sdk.contract import AdapterHost, BadMediaError, Instant, LiveCall, SpanKind
from vcond.sdk.decoding import decoder
from vcond.sdk.media_stream.dialect import Format


class DecodedTrack:
    """A track whose frames are decoded one by one. What cannot be is counted, and where it would lie is lost."""

    def __init__(self, host: AdapterHost, call: LiveCall, form: Format, party: int, at: Instant) -> None:
        """``form`` has a source that there is a decoder for: its dialect saw to that."""
        self._host = host
        self._decoder = decoder(form.source.lower())
        self._track = call.track(party, at=at, codec=form.codec, rate=form.rate, clock=form.clock, source=form.source)

    def write(self, payload: bytes, *, arrived: Instant, stamp: int | None = None, seq: int | None = None) -> None:
        """As ``Track.write``."""
        try:
            samples = b"" if self._decoder is None else self._decoder.decode(payload)
        except BadMediaError:
            samples = b""
        if samples:
            self._track.write(samples, arrived=arrived, stamp=stamp, seq=seq)
        else:
            self._host.dropped("frame", "not-decodable")

    def absent(self, since: Instant, until: Instant, kind: SpanKind) -> None:
        """As ``Track.absent``."""
        self._track.absent(since, until, kind)

    def close(self, *, at: Instant) -> None:
        """As ``Track.close``."""
        self._track.close(at=at)
