"""What Twilio's REST API is asked about calls, and what of that is in the record."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from types import SimpleNamespace

import aiohttp
import pytest
from fake_twilio_rest import ACCOUNT, TOKEN, FakeTwilioRest, known

from vcond.sdk.media_stream import with_form
from vcond.sdk.media_stream.signatures import url_signature
from vcond.testing.host import MemoryHost
from vcond.testing.sounds import find, voice
from vcond.testing.time import run_virtual
from vcond_twilio import TwilioAdapter, TwilioConfig
from vcond_twilio.rest import Rest
from vcond_twilio.running import WAIT
from vcond_twilio.starts import LONGEST, MOST

BASE = "https://edge.example.com"
STREAM, STATUS = "wss://edge.example.com/twilio/stream", "/twilio/stream/status"
SIGNED = {"X-Twilio-Signature": url_signature(TOKEN, STREAM)}


@asynccontextmanager
async def attached(host, fake, **config):
    """The adapter at a host."""
    settings = TwilioConfig(public_url=BASE, account_sid=ACCOUNT, auth_tokens=[TOKEN], api_url=fake.url, **config)
    task = asyncio.create_task(TwilioAdapter(settings).run(host))
    await host.until(lambda: host.is_attached)
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled()


def virtual(test):
    """Run ``test(b)`` in virtual time: a host, a fake and the scripted Twilio."""

    def run(twilio):
        async def main() -> None:
            async with FakeTwilioRest() as fake, MemoryHost("twilio") as host:
                await test(
                    SimpleNamespace(host=host, fake=fake, twilio=twilio, key=twilio.CALL, call=lambda: host.calls[-1])
                )
                assert host.faults == []

        run_virtual(main())

    run.__name__ = test.__name__
    return run


@asynccontextmanager
async def streaming(b, stream="MZ" + "2" * 32, parameters=None):
    """A stream that Twilio opens."""
    async with aiohttp.ClientSession() as session:
        url = f"{b.host.ingress.bound_url}/twilio/stream"
        async with session.ws_connect(url, headers=SIGNED) as socket:
            client = b.twilio.Client(socket, b.key, stream)
            await client.start(parameters)
            yield client
            await socket.close()
            await client.reader


async def post(b, **form):
    form = {"CallSid": b.key, "CallStatus": "in-progress", "Direction": "inbound", "From": "+15550100", **form}
    signature = url_signature(TOKEN, with_form(BASE + STATUS, form.items()))
    async with (
        aiohttp.ClientSession() as session,
        session.post(b.host.ingress.bound_url + STATUS, data=form, headers={"X-Twilio-Signature": signature}) as answer,
    ):
        assert answer.status == 204


def facts(call):
    return {fact.name: fact.value for fact in call.state.facts}


@virtual
async def test_a_call_that_is_over_is_read_before_its_record_leaves(b):
    b.fake.calls[b.key] = known(direction="outbound-api", answered_by="machine_end_beep", caller_name="Ann")
    async with attached(b.host, b.fake):
        async with streaming(b, parameters={"direction": "outbound-api"}) as client:
            await client.play(voice(1, 1.0), voice(2, 1.0))
            await client.stop()
            until = b.host.now()
        await b.host.until(lambda: b.call().over)
    state = b.call().state
    assert [(party.who.tel, party.who.name) for party in state.parties] == [("+15550100", "Ann"), ("+15550199", "")]
    assert {"callStatus": "completed", "answeredBy": "machine_end_beep", "callDuration": "42"}.items() <= facts(
        b.call()
    ).items()
    assert (state.cause.q850, state.cause.text, state.ended <= until) == (16, "completed", True)
    assert find(voice(1, 1.0), b.host.audio(b.call(), 1))[0] > 0.95  # what Twilio heard is whom it called
    assert b.host.drops == {}


@virtual
async def test_what_the_application_told_of_parties_stays(b):
    b.fake.calls[b.key] = known(**{"from": "+15559999"})
    async with attached(b.host, b.fake):
        async with streaming(b, parameters={"from": "client:ann", "callerName": "Ann"}) as client:
            await client.stop()
        await b.host.until(lambda: b.call().over)
    caller, callee = [party.who for party in b.call().state.parties]
    assert (caller.uuid, caller.tel, caller.name, callee.tel) == ("client:ann", "", "Ann", "+15550199")
    assert b.call().state.direction == "inbound"


@virtual
async def test_a_call_that_twilio_placed_without_saying_so_has_its_numbers_the_right_way_round(b):
    b.fake.calls[b.key] = known(direction="outbound-api")
    async with attached(b.host, b.fake):
        async with streaming(b) as client:
            await client.play(voice(1, 1.0))
            await client.stop()
        await b.host.until(lambda: b.call().over)
    assert find(voice(1, 1.0), b.host.audio(b.call(), 0))[0] > 0.95
    assert [party.who.tel for party in b.call().state.parties] == ["+15550199", "+15550100"]
    assert facts(b.call())["callDirection"] == "outbound-api"


@virtual
async def test_a_stream_that_stops_a_moment_before_twilio_says_that_the_call_is_over(b):
    b.fake.calls[b.key] = known("in-progress")
    async with attached(b.host, b.fake):
        async with streaming(b) as client:
            await client.stop()
        await b.fake.until(lambda: b.fake.asked)
        b.fake.calls[b.key] = known()
        await b.host.until(lambda: b.call().over)
    assert (b.call().state.cause.text, facts(b.call())["callDuration"]) == ("completed", "42")


@virtual
async def test_a_call_that_goes_on_without_its_stream_ends_with_that(b):
    b.fake.calls[b.key] = known("in-progress")
    async with attached(b.host, b.fake):
        async with streaming(b) as client:
            await client.stop()
        await b.host.until(lambda: b.call().over, within=WAIT / 2)
    assert b.call().state.cause.text == "stop"
    assert b.call().state.parties[0].who.tel == "+15550100"


@virtual
async def test_with_a_stop_grace_who_hung_up_meanwhile_is_not_waited_for(b):
    b.fake.calls[b.key] = known("in-progress")
    async with attached(b.host, b.fake, stop_grace=3600):
        async with streaming(b) as client:
            await client.stop()
        await asyncio.sleep(300)
        assert not b.call().over
        async with streaming(b, "MZnew") as client:
            await b.host.until(lambda: facts(b.call())["streamSid"] == "MZnew")
            asked = len(b.fake.asked)
            await asyncio.sleep(100)
            assert len(b.fake.asked) == asked
            await client.stop()
        await asyncio.sleep(300)
        assert not b.call().over
        b.fake.calls[b.key] = known()
        await b.host.until(lambda: b.call().over, within=40)
    assert len(b.host.calls) == 1


@virtual
async def test_a_rest_api_that_does_not_answer_costs_what_it_would_have_told(b):
    async with attached(b.host, b.fake, grace=1):
        b.fake.trouble += [(503, {}, {})] * 100
        async with streaming(b) as client:
            await client.stop()
        await b.host.until(lambda: b.call().over, within=WAIT)
        assert b.host.drops == {("rest", "failed"): 1}
        b.fake.trouble.clear()
        b.fake.trouble += [(401, {}, {})] * 100
        async with streaming(b) as client:
            await client.cut()
        await b.host.until(lambda: b.call().over, within=WAIT + 5)
        assert b.host.drops["rest", "login"] > 1
    assert [call.state.cause.text for call in b.host.calls] == ["stop", "stream-lost"]


@virtual
async def test_a_lost_stream_of_a_call_that_is_over_ends_it_at_once_and_is_said(b):
    b.fake.calls[b.key] = known()
    async with attached(b.host, b.fake, grace=600):
        async with streaming(b) as client:
            await client.cut()
        await b.host.until(lambda: b.call().over, within=5)
    assert [warning.code for warning in b.call().state.warnings] == ["stream-lost"]
    assert b.call().state.cause.text == "completed"


@virtual
async def test_a_lost_stream_of_a_call_that_goes_on_is_started_anew(b):
    b.fake.calls[b.key] = known("in-progress")
    async with attached(b.host, b.fake, start_streams=True, grace=0):
        async with streaming(b) as client:
            await client.play(voice(1, 1.0))
            await client.cut()
        await b.fake.until(lambda: b.fake.streams)
        (stream,) = b.fake.streams
        async with streaming(b, stream) as client:
            await client.play(voice(1, 1.0))
            b.fake.calls[b.key] = known()
            await client.stop()
        await b.host.until(lambda: b.call().over)
    assert b.fake.of("POST") == [(f"/Calls/{b.key}/Streams.json", {"Url": STREAM, "Track": "both_tracks"})]
    assert (len(b.host.calls), b.call().state.cause.text) == (1, "completed")


@virtual
async def test_streams_that_break_off_at_once_are_started_so_often_and_no_more(b):
    b.fake.calls[b.key] = known("in-progress")
    async with attached(b.host, b.fake, start_streams=True):
        for number in range(MOST + 1):
            async with streaming(b, f"MZ{number:032}") as client:
                await client.cut()
            if number < MOST:
                await b.fake.until(lambda number=number: len(b.fake.streams) == number + 1, within=LONGEST + 60)
        await b.host.until(lambda: b.call().over, within=WAIT + 5)
        await asyncio.sleep(3600)
        assert len(b.fake.streams) == MOST
    assert len(b.host.calls) == 1


@virtual
async def test_a_stream_that_lasted_begins_the_count_anew(b):
    b.fake.calls[b.key] = known("in-progress")
    async with attached(b.host, b.fake, start_streams=True):
        for number in range(MOST + 2):
            async with streaming(b, f"MZ{number:032}") as client:
                await asyncio.sleep(61)
                await client.cut()
            await b.fake.until(lambda number=number: len(b.fake.streams) == number + 1, within=5)
    assert len(b.host.calls) == 1


@virtual
async def test_a_mistake_while_a_stream_is_asked_for_is_said_and_the_call_is_recorded_when_one_comes(b):
    async def wrong(*_):
        raise ZeroDivisionError

    b.fake.calls[b.key] = known("in-progress")
    with pytest.MonkeyPatch.context() as broken:
        broken.setattr(Rest, "start", wrong)
        async with attached(b.host, b.fake, start_streams=True):
            await post(b)
            await b.host.until(lambda: b.host.drops["event", "mistake"] == 1, within=60)
            async with streaming(b) as client:
                await client.play(voice(1, 1.0))
                b.fake.calls[b.key] = known()
                await client.stop()
            await b.host.until(lambda: b.call().over)
    assert find(voice(1, 1.0), b.host.audio(b.call(), 0))[0] > 0.95


@virtual
async def test_a_stream_that_is_open_and_brings_nothing_is_replaced_by_another(b):
    b.fake.calls[b.key] = known("in-progress")
    async with attached(b.host, b.fake, start_streams=True), streaming(b) as dead:
        await dead.play(voice(1, 1.0), voice(2, 1.0))
        while not b.fake.streams:
            await asyncio.sleep(0.5)
            b.host.tick()
        (stream,) = b.fake.streams
        async with streaming(b, stream) as client:
            await b.fake.until(lambda: len(b.fake.of("POST")) == 2, within=60)
            await dead.stop()
            await client.play(voice(3, 1.0), voice(4, 1.0))
            b.fake.calls[b.key] = known()
            await client.stop()
            await b.host.until(lambda: b.call().over)
    (start, _), (stop, _) = b.fake.of("POST")
    assert (start, stop) == (f"/Calls/{b.key}/Streams.json", f"/Calls/{b.key}/Streams/MZ{'2' * 32}.json")
    assert find(voice(3, 1.0), b.host.audio(b.call(), 0))[0] > 0.95
    assert [warning.code for warning in b.call().state.warnings] == ["audio-stopped"] * 2, "of each party"
    assert len(b.host.calls) == 1


@pytest.mark.parametrize("refused", [[(400, {}, {})], [(200, {}, None), (400, {}, {})]], ids=["question", "start"])
def test_a_lost_stream_is_started_anew_though_twilio_did_not_answer_at_once(twilio, refused):
    @virtual
    async def test(b):
        b.fake.calls[b.key] = known("in-progress")
        async with attached(b.host, b.fake, start_streams=True):
            async with streaming(b) as client:
                b.fake.trouble += [(status, more, body or known("in-progress")) for status, more, body in refused]
                await client.cut()
            await b.fake.until(lambda: b.fake.streams, within=WAIT / 2)
            await asyncio.sleep(WAIT / 2)
            assert len(b.fake.streams) == 1

    test(twilio)


@virtual
async def test_a_call_in_progress_is_streamed_without_twiml(b):
    b.fake.calls[b.key] = known("in-progress")
    async with attached(b.host, b.fake, start_streams=True):
        await post(b, To="+15550199", CallerName="")
        await post(b, ParentCallSid="CA1")
        await post(b, CallStatus="ringing")
        await asyncio.sleep(5)
        form = {
            "Url": STREAM, "Track": "both_tracks", "Parameter1.Name": "from", "Parameter1.Value": "+15550100",
            "Parameter2.Name": "to", "Parameter2.Value": "+15550199",
            "Parameter3.Name": "direction", "Parameter3.Value": "inbound",
        }  # fmt: skip
        assert b.fake.of("POST") == [(f"/Calls/{b.key}/Streams.json", form)]


@pytest.mark.parametrize(("posts", "failures"), [(2, 0), (1, 1)])
def test_a_call_is_streamed_once_however_often_it_is_posted_and_though_twilio_fails_at_first(twilio, posts, failures):
    @virtual
    async def test(b):
        b.fake.calls[b.key] = known("in-progress")
        b.fake.trouble += [(400, {}, {})] * failures
        async with attached(b.host, b.fake, start_streams=True):
            await asyncio.gather(*(post(b) for _ in range(posts)))
            await asyncio.sleep(60)
            assert len(b.fake.streams) == 1

    test(twilio)


@virtual
async def test_a_call_whose_twiml_streams_it_is_not_streamed_twice(b):
    async with attached(b.host, b.fake, start_streams=True):
        await post(b)
        async with streaming(b):
            await asyncio.sleep(5)
            assert b.fake.asked == []


@virtual
async def test_without_start_streams_no_stream_is_started(b):
    b.fake.calls[b.key] = known("in-progress")
    async with attached(b.host, b.fake):
        await post(b)
        async with streaming(b) as client:
            await client.cut()
        await asyncio.sleep(60)
        assert b.fake.of("POST") == []


@pytest.mark.parametrize("over", [False, True])
def test_after_a_restart_calls_are_ended_or_streamed_again(twilio, over):
    @virtual
    async def test(b):
        b.fake.calls[b.key] = known("in-progress")
        async with attached(b.host, b.fake), streaming(b) as client:
            await client.play(voice(1, 1.0))
            after = MemoryHost.after_crash(b.host)
        if over:
            b.fake.calls[b.key] = known("failed")
        async with after, attached(after, b.fake, start_streams=True):
            b.host = after
            if over:
                await after.until(lambda: after.calls[-1].over)
                assert (after.calls[-1].state.cause.text, len(b.fake.streams)) == ("failed", 0)
                return
            await b.fake.until(lambda: b.fake.streams)
            async with streaming(b, next(iter(b.fake.streams))) as client:
                await client.play(voice(2, 1.0))
                b.fake.calls[b.key] = known()
                await client.stop()
            await after.until(lambda: after.calls[-1].over)
        assert len(after.calls) == 1
        assert [party.who.tel for party in after.calls[-1].state.parties] == ["+15550100", "+15550199"]

    test(twilio)
