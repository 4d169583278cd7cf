"""Twilio's REST API: what is asked and how long, and a fake of it that Twilio's own library takes for the real one."""

from __future__ import annotations

import asyncio
import os
import subprocess
from pathlib import Path

import msgspec
import pytest
from fake_twilio_rest import ACCOUNT, TOKEN, FakeTwilioRest, known

from vcond.sdk.contract import ConfigError, ProtocolError, RefusedError, UnreachableError
from vcond.testing.needs import needs
from vcond.testing.time import run_virtual
from vcond_twilio import TwilioAdapter, TwilioConfig
from vcond_twilio.rest import ALL, AT_ONCE, LARGEST, TRIES, Rest

OURS = Path(__file__).parents[3] / ".peers" / "sdks"
SDKS = os.environ.get("VCOND_SDKS", "") or (str(OURS / "bin" / "python") if (OURS / ".ready").exists() else "")
CALL = "CA" + "1" * 32
URL = "wss://edge.example.com/twilio/stream"
PARAMETERS = {"from": "+15550100", "to": "+15550199"}


def settings(url, **more):
    return TwilioConfig(account_sid=ACCOUNT, auth_tokens=[TOKEN], api_url=url, **more)


def asking(test):
    """Run ``test(fake, rest)`` in virtual time."""

    async def main() -> None:
        async with FakeTwilioRest({CALL: known("in-progress")}) as fake, Rest(settings(fake.url)) as rest:
            await test(fake, rest)

    run_virtual(main())


PROGRAM = """
import json, sys
from twilio.base.exceptions import TwilioRestException
from twilio.rest import Client

url, account, token, call, stream = json.loads(sys.argv[1])

def client(token):
    made = Client(account, token)
    made.api.base_url = url
    return made

ours = client(token)
made = ours.calls(call).streams.create(url=stream, track="both_tracks",
    parameter1_name="from", parameter1_value="+15550100", parameter2_name="to", parameter2_value="+15550199")
stopped = ours.calls(call).streams(made.sid).update(status="stopped")
read = ours.calls(call).fetch()
refused = []
for ask in (
    lambda: client("0" * 32).calls(call).fetch(),
    lambda: ours.calls(call[:-1] + "2").fetch(),
    lambda: ours.calls(call).streams(made.sid).update(status="stopped"),
    lambda: ours.calls(call).streams.create(url="https://edge.example.com"),
):
    try:
        ask()
        refused.append(None)
    except TwilioRestException as why:
        refused.append([why.status, why.code])
print(json.dumps({
    "made": [made.account_sid, made.call_sid, made.status, made.name, str(made.date_updated)],
    "stopped": [stopped.sid == made.sid, stopped.status],
    "read": [read.sid, read._from, read.to, read.direction, read.answered_by, read.status, read.duration, str(read.start_time)],
    "refused": refused,
}))
"""


async def test_twilios_own_library_takes_the_fake_for_twilio_and_asks_what_we_ask():
    needs(SDKS, "the platforms' libraries are not installed in .peers/sdks: tools/setup.sh test")
    async with FakeTwilioRest({CALL: known("in-progress", answered_by="human")}) as fake:
        given = msgspec.json.encode([fake.url, ACCOUNT, TOKEN, CALL, URL]).decode()
        library = await asyncio.create_subprocess_exec(
            SDKS, "-W", "ignore", "-c", PROGRAM, given, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        said, error = await library.communicate()
        assert library.returncode == 0, error.decode()[-2000:]
        told = msgspec.json.decode(said)
        moment = "2026-11-29 12:00:00+00:00"
        assert told["made"] == [ACCOUNT, CALL, "in-progress", None, moment]
        assert told["stopped"] == [True, "stopped"]
        assert told["read"] == [CALL, "+15550100", "+15550199", "inbound", "human", "in-progress", None, moment]
        assert told["refused"] == [[401, 20003], [404, 20404], [404, 20404], [400, 21220]]
        theirs, fake.asked[:] = fake.asked[:3], []
        fake.streams.clear()
        async with Rest(settings(fake.url)) as rest:
            stream = await rest.start(CALL, URL, PARAMETERS)
            await rest.stop(CALL, stream)
            await rest.call(CALL)
        assert fake.asked == theirs


def test_a_call_is_read_and_streams_are_started_and_stopped():
    async def test(fake, rest):
        fake.calls[CALL] |= {"answered_by": "machine_start", "unheard_of": [1]}
        told = await rest.call(CALL)
        assert (told.from_, told.to, told.direction, told.answered_by, told.over) == (
            "+15550100", "+15550199", "inbound", "machine_start", False,
        )  # fmt: skip
        stream = await rest.start(CALL, URL, PARAMETERS)
        assert fake.streams[stream]["status"] == "in-progress"
        await rest.stop(CALL, stream)
        await rest.stop(CALL, stream)  # 404: it is over already
        assert fake.streams[stream]["status"] == "stopped"
        fake.calls[CALL] = known()
        told = await rest.call(CALL)
        assert (told.over, told.duration) == (True, "42")

    asking(test)


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
def test_what_may_pass_is_asked_again_a_bounded_number_of_times(status):
    async def test(fake, rest):
        fake.trouble += [(status, {}, {"code": 20429})] * (TRIES - 1)
        await rest.call(CALL)
        assert len(fake.asked) == TRIES
        fake.trouble += [(status, {}, {"code": 20429})] * 50
        begun = asyncio.get_running_loop().time()
        with pytest.raises(RefusedError, match=f"HTTP {status}, Twilio error 20429"):
            await rest.call(CALL)
        assert asyncio.get_running_loop().time() - begun <= ALL
        assert len(fake.asked) == 2 * TRIES

    asking(test)


def test_twilio_says_how_long_it_wants_to_be_left_alone():
    async def test(fake, rest):
        fake.trouble.append((429, {"Retry-After": "9"}, {}))
        begun = asyncio.get_running_loop().time()
        await rest.call(CALL)
        assert asyncio.get_running_loop().time() - begun >= 9
        fake.trouble.append((429, {"Retry-After": "3600"}, {}))
        with pytest.raises(RefusedError):
            await rest.call(CALL)
        fake.trouble.append((429, {"Retry-After": "Sun, 29 Nov 2026 12:00:00 GMT"}, {}))
        await rest.call(CALL)

    asking(test)


@pytest.mark.parametrize("status", [400, 404, 301])
def test_what_does_not_pass_is_asked_once(status):
    async def test(fake, rest):
        fake.trouble.append((status, {"Location": "/elsewhere"}, {"code": 21220, "message": "+15550100 is not it"}))
        with pytest.raises(RefusedError) as refused:
            await rest.start(CALL, URL, {})
        assert str(refused.value) == f"start of a stream: HTTP {status}, Twilio error 21220"
        assert len(fake.asked) == 1

    asking(test)


@pytest.mark.parametrize("status", [401, 403])
def test_a_login_that_is_refused_is_the_operators_to_mend(status):
    async def test(fake, rest):
        fake.trouble.append((status, {}, {"code": 20003, "message": "secret"}))
        with pytest.raises(ConfigError, match="Twilio error 20003: check account_sid") as refused:
            await rest.account()
        assert TOKEN not in str(refused.value)

    asking(test)


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"\xff", b'{"status":5}', b'{"status":"x","from":{}}', b"[" * 9000])
def test_an_answer_that_makes_no_sense_is_an_error_of_twilios(body):
    async def test(fake, rest):
        fake.trouble.append((200, {}, body))
        with pytest.raises(ProtocolError):
            await rest.call(CALL)
        fake.trouble.append((400, {}, body))
        with pytest.raises(RefusedError, match=r"HTTP 400$"):
            await rest.call(CALL)

    asking(test)


def test_a_name_from_outside_stays_one_segment_of_the_path():
    async def test(fake, rest):
        for name in ("../Recordings", "CA1?x=1", "ü%2F"):
            with pytest.raises(RefusedError, match="HTTP 404"):
                await rest.call(name)
            await rest.stop(CALL, name)
        assert [path.count("/") for _, path, _ in fake.asked] == [2, 4] * 3

    asking(test)


def test_an_answer_that_is_too_large_is_not_read_on():
    async def test(fake, rest):
        fake.trouble.append((200, {}, b" " * (LARGEST + 1)))
        with pytest.raises(ProtocolError, match="too large"):
            await rest.call(CALL)

    asking(test)


def test_a_server_that_is_not_there_is_given_up_in_bounded_time():
    async def main() -> None:
        async with FakeTwilioRest() as fake:
            gone = fake.url
        async with Rest(settings(gone)) as rest:
            begun = asyncio.get_running_loop().time()
            with pytest.raises(UnreachableError, match="call: "):
                await rest.call(CALL)
            assert asyncio.get_running_loop().time() - begun <= ALL

    run_virtual(main())


def test_no_more_than_so_many_are_asked_at_once():
    async def test(fake, rest):
        fake.answers.clear()
        asking = asyncio.gather(*[rest.call(CALL) for _ in range(4 * AT_ONCE)])
        await fake.until(lambda: fake.under_way == AT_ONCE)
        await asyncio.sleep(1)
        assert len(fake.asked) == AT_ONCE
        fake.answers.set()
        await asking
        assert (len(fake.asked), fake.most, rest._slots._value) == (4 * AT_ONCE, AT_ONCE, AT_ONCE)

    asking(test)


def test_what_is_put_off_given_up_or_never_answered_holds_no_place_of_others():
    async def test(fake, rest):
        fake.trouble += [(429, {"Retry-After": "10"}, {})] * AT_ONCE
        put_off = [asyncio.ensure_future(rest.call(CALL)) for _ in range(AT_ONCE)]
        await fake.until(lambda: len(fake.asked) == AT_ONCE and not fake.under_way)
        begun = asyncio.get_running_loop().time()
        await rest.stop(CALL, "MZ1")
        assert asyncio.get_running_loop().time() - begun < 1, "while they wait as they were told"
        assert {told.status for told in await asyncio.gather(*put_off)} == {"in-progress"}

        fake.answers.clear()
        given_up = [asyncio.ensure_future(rest.call(CALL)) for _ in range(2 * AT_ONCE)]
        await fake.until(lambda: fake.under_way == AT_ONCE)
        for one in given_up:
            one.cancel()
        await asyncio.wait(given_up)
        assert rest._slots._value == AT_ONCE

        never = await asyncio.gather(*[rest.call(CALL) for _ in range(3 * AT_ONCE)], return_exceptions=True)
        assert {type(why) for why in never} == {UnreachableError}
        fake.answers.set()
        assert (await rest.call(CALL)).status == "in-progress"
        assert rest._slots._value == AT_ONCE

    asking(test)


@pytest.mark.parametrize(
    ("wrong", "key"),
    [
        ({"account_sid": ACCOUNT}, "account_sid"),
        ({"account_sid": ACCOUNT, "api_key": "SK" + "1" * 32}, "api_secret"),
        ({"start_streams": True, "auth_tokens": [TOKEN]}, "start_streams"),
        ({"stop_on_pause": True, "account_sid": ACCOUNT, "api_key": "SK" + "1" * 32, "api_secret": "x"}, "stop_on_pause"),
    ],
)  # fmt: skip
def test_half_a_configuration_is_a_mistake(wrong, key):
    with pytest.raises(ConfigError, match=f"adapters.twilio.{key}"):
        TwilioAdapter(TwilioConfig(**wrong))


@pytest.mark.parametrize(
    "wrong",
    [
        {"account_sid": "AC/1"},
        {"api_key": "SK" + "1" * 40},
        {"api_url": "api.twilio.com"},
        {"api_url": "https://u:p@x"},
    ],
)
def test_a_configuration_that_cannot_be_meant_is_refused(wrong):
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(wrong, TwilioConfig)


async def test_check_tells_whether_the_rest_api_takes_the_login():
    async with FakeTwilioRest() as fake:

        async def found(**more):
            config = msgspec.structs.replace(settings(fake.url, public_url="https://edge.example.com"), **more)
            return [finding async for finding in TwilioAdapter(config).check()]

        rest, url = await found()
        assert (rest.level, url.level) == ("ok", "ok")
        rest, _ = await found(auth_tokens=["0" * 32])
        assert (rest.level, "auth_tokens" in rest.fix, TOKEN in str(rest)) == ("error", True, False)
        rest, _ = await found(api_key="SK" + "1" * 32, api_secret="y")
        assert (rest.level, "api_key" in rest.fix) == ("error", True)
        fake.trouble.append((404, {}, b"a page"))
        rest, _ = await found()
        assert (rest.level, rest.detail) == ("error", "account: HTTP 404")
