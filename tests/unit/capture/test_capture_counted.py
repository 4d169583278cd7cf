import numpy as np
import pytest
from prometheus_client import REGISTRY

from vcond.call import events as ev
from vcond.sdk.contract import ArrivalClock, Cause, Codec

SPEECH = np.full(160, 5000, "<i2").tobytes()
SILENCE = bytes(320)


def unheard() -> float:
    return REGISTRY.get_sample_value("vcond_leg_silent_total", {"adapter": "test"}) or 0.0


def one_call(house, frames: dict[str, bytes | None], *, answered: bool = True, paused: bool = False) -> None:
    call = house.host.call("k", at=house.now(0))
    tracks = {
        key: call.track(
            call.party(key, at=house.at(0)), at=house.at(0), codec=Codec.L16, rate=8000, clock=ArrivalClock()
        )
        for key in frames
    }
    if answered:
        call.emit(ev.Answered(at=house.at(0)))
    if paused:
        call.emit(ev.RecordingPaused(at=house.at(0), by="platform"))
    for i in range(50):
        for key, frame in frames.items():
            if frame is not None:
                tracks[key].write(frame, arrived=house.now((i + 1) * 0.02))
    call.end(at=house.now(1), cause=Cause(q850=16))


@pytest.mark.parametrize("frame", [None, SILENCE])
def test_a_party_of_an_answered_call_of_whom_nothing_was_heard_is_counted(house, frame):
    before = unheard()
    one_call(house, {"a": SPEECH, "b": frame})
    assert unheard() == before + 1


def test_whose_recording_was_paused_and_who_never_answered_is_not_counted_as_unheard(house):
    before = unheard()
    one_call(house, {"a": SPEECH, "b": SPEECH})
    one_call(house, {"a": SPEECH, "b": SPEECH}, paused=True)
    one_call(house, {"a": None, "b": None}, answered=False)
    assert unheard() == before
