"""A call that the core ended while its streams go on."""

from vcond.sdk.media_stream import Began, Carrier, StreamedCalls
from vcond.testing.host import MemoryHost
from vcond.testing.time import LoopClock, run_virtual
from vcond_twilio.config import TwilioConfig
from vcond_twilio.dialect import TRACKS


def test_a_stream_that_comes_after_the_core_ended_its_call_opens_a_call_of_its_own():
    async def main() -> None:
        host = MemoryHost("twilio", clock=LoopClock())
        streamed = StreamedCalls(host, TwilioConfig(grace=10))
        carrier, other = [Carrier(Began(call="CA1", stream=f"MZ{n}", tracks=TRACKS, announced=())) for n in (1, 2)]
        first = streamed.join(carrier, at=host.clock.now())
        streamed.leave(first, carrier, at=host.clock.now(), stopped=False)
        assert first.timer is not None
        first.call.end(at=host.clock.now())  # a limit, say
        again = streamed.join(other, at=host.clock.now())
        assert again is not first
        assert again.call.uuid != first.call.uuid
        assert again.call.state.ended is None
        assert first.timer is None, "the old one's timer would end the new one"
        assert streamed._calls == {"CA1": again}
        streamed.close()

    run_virtual(main())
