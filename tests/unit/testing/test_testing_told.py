"""What an author of a plug-in is told by the checks of the suites, and the wait in virtual time."""

from __future__ import annotations

from contextlib import asynccontextmanager
from types import SimpleNamespace

import numpy as np
import pytest

from vcond.sdk import decoding
from vcond.testing.checks import ANN, BEN, check_decoder, check_voices
from vcond.testing.sounds import voice
from vcond.testing.time import run_virtual, until

RIG = SimpleNamespace(tolerance_ms=40.0)


def host(*heard):
    return SimpleNamespace(audio=lambda _, party, rate: heard[party][: 10 * rate])


def test_a_rig_that_sends_a_frame_before_it_was_spoken_is_told_so():
    ann, ben = voice(ANN, 3.0), voice(BEN, 3.0)
    check_voices(RIG, host(ann, ben), None)
    with pytest.raises(AssertionError, match="its first 20 ms are before the call: a frame is sent once it was spoken"):
        check_voices(RIG, host(ann[160:], ben), None)
    with pytest.raises(AssertionError, match=r"party 0 is not heard: correlation 0\.\d+\n"):
        check_voices(RIG, host(np.roll(ann, 12_000), ben), None)


@pytest.mark.parametrize("installed", [True, False])
def test_an_adapter_that_loads_the_decoder_of_calls_on_the_event_loop_fails(installed):
    @asynccontextmanager
    async def serving():
        decoding.import_module("av")
        yield

    @asynccontextmanager
    async def well():
        await decoding.load()
        yield

    check_decoder(well, installed=installed)
    with pytest.raises(AssertionError):
        check_decoder(serving, installed=installed)


def test_what_is_waited_for_in_virtual_time_is_looked_at_again_and_named_when_it_never_comes():
    looks, found = [], {}

    def there():
        looks.append(1)
        if len(looks) == 3:
            found["it"] = True
        return found["it"]

    run_virtual(until(there, every=1))
    assert len(looks) == 3
    with pytest.raises(TimeoutError, match="never came: snow"):
        run_virtual(until(lambda: False, within=3600, every=60, what="snow"))
