"""What an adapter says to be lost stays so."""

from __future__ import annotations

import numpy as np

from vcond.call import events as ev
from vcond.sdk.contract import ArrivalClock, Codec, SpanKind

FRAME = np.full(160, 5000, "<i2").tobytes()


async def test_what_was_lost_while_a_party_held_is_not_held(house):
    call = house.host.call("k", at=house.now(0))
    party = call.party("a", at=house.at(0))
    track = call.track(party, at=house.at(0), codec=Codec.L16, rate=8000, clock=ArrivalClock())
    for i in range(50):
        track.write(FRAME, arrived=house.now((i + 1) * 0.02))
    call.emit(ev.Held(at=house.at(1), party=party))
    track.absent(house.at(2), house.at(4), SpanKind.LOST)
    for i in range(50):
        track.write(FRAME, arrived=house.now(5 + (i + 1) * 0.02))
    call.emit(ev.Retrieved(at=house.at(5), party=party))
    call.end(at=house.now(6))
    spans = call.state.tracks[0].spans
    assert spans.total(SpanKind.LOST) == 16_000
    assert spans.total(SpanKind.HELD) == 16_000
    assert spans.total(SpanKind.RECEIVED) == 16_000
