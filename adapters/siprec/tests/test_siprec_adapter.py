"""Listening, codecs that cannot be decoded, and what is wrong with a configuration."""

from __future__ import annotations

import asyncio
import socket

import pytest
from siprec_client import ALICE, BOB, CONFIG, Leg, metadata, serving

from vcond.base.errors import ConfigError
from vcond.testing.checks import check_decoder
from vcond.testing.host import MemoryHost
from vcond.testing.sounds import find, voice
from vcond.testing.time import run_virtual
from vcond_siprec import SiprecAdapter, SiprecConfig
from vcond_siprec.check import check


def test_an_address_in_use_is_tried_again_until_it_is_free():
    async def main():
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
            other.bind(("127.0.0.1", 0))
            port = other.getsockname()[1]
            async with MemoryHost("siprec") as host:
                config = SiprecConfig(**(CONFIG | {"listen": [f"udp:127.0.0.1:{port}"]}))
                task = asyncio.create_task(SiprecAdapter(config).run(host))
                await host.until(lambda: host.attachments)
                assert not host.is_attached
                other.close()
                await host.until(lambda: host.is_attached, within=60)
                task.cancel()
                await asyncio.wait([task])
                assert task.cancelled()

    run_virtual(main())


def test_calls_of_an_earlier_run_of_this_process_are_ended():
    async def main():
        async with MemoryHost("siprec") as host:
            host.call("session old", at=host.clock.now())
            task = asyncio.create_task(SiprecAdapter(SiprecConfig(**CONFIG)).run(host))
            await host.until(lambda: host.is_attached)
            assert host.by_key("session old").over
            task.cancel()
            await asyncio.wait([task])

    run_virtual(main())


def test_a_codec_that_cannot_be_decoded_is_said_and_the_other_line_is_recorded():
    async def main():
        async with serving() as (host, client):
            odd = Leg("2", pt=97)
            one = client("1", odd)
            lines = odd.lines
            odd.lines = lambda: lines().replace("97 PCMU/8000", "97 AMR-WB/16000")
            assert b"m=audio" in (await one.invite(metadata(ALICE, BOB))).body
            await one.legs[0].speak(voice(1, 1.0))
            await one.bye()
            await host.until(lambda: host.calls[0].over, within=30)
            (call,) = host.calls
            assert find(voice(1, 1.0), host.audio(call, 0, rate=8000))[0] > 0.95
            assert [warning.code for warning in call.state.warnings] == ["codec"]
            assert host.drops["stream", "codec"] == 1

    run_virtual(main())


def test_a_session_in_a_codec_that_cannot_be_decoded_is_neither_silent_nor_over():
    async def main():
        async with serving(silence_timeout=10) as (host, client):
            odd = Leg("1", pt=97)
            one = client(odd)
            lines = odd.lines
            odd.lines = lambda: lines().replace("97 PCMU/8000", "97 AMR-WB/16000")
            await one.invite(metadata(ALICE))
            await odd.speak(voice(1, 40.0))
            (call,) = host.calls
            assert not call.over
            assert [warning.code for warning in call.state.warnings] == ["codec"]  # and not that nothing was heard
            odd.deaf = True
            await host.until(lambda: call.over, within=30)
            assert [warning.code for warning in call.state.warnings] == ["codec", "no-bye"]

    run_virtual(main())


@pytest.mark.parametrize(
    "wrong",
    [
        {"listen": ["udp:0.0.0.0:5060"]},
        {"listen": ["udp:999.1.1.1:5060"]},
        {"bind": "media.example.com"},
        {"advertise": "nat.example.com"},
        {"bind": "::"},
    ],
)
def test_a_configuration_that_cannot_work_says_why(wrong):
    with pytest.raises(ConfigError, match=r"adapters\.siprec\."):
        SiprecConfig(**wrong)


def test_check_says_what_clients_are_to_be_told_and_who_is_let_in():
    config = SiprecConfig(
        listen=["udp:127.0.0.1:0"], advertise="192.0.2.5", allow=["0.0.0.0/0"], ports=(20_000, 20_099)
    )
    found = {finding.what: finding for finding in check(config)}
    assert "sip:192.0.2.5:0;transport=udp" in found["udp 127.0.0.1:0"].detail
    assert found["allow"].level == "warning"
    assert found["ports"].level == "warning"
    assert found["ports"].detail.startswith("enough for 24 sessions")  # of 25: one port is for unwanted lines
    assert found["SRTP"].level == found["codecs"].level == "ok"
    assert next(iter(check(SiprecConfig(allow=["x"], listen=["tcp:127.0.0.1:0"])))).level == "warning"
    elsewhere = next(iter(check(SiprecConfig(allow=["x"], listen=["udp:192.0.2.5:5060"]))))
    assert (elsewhere.level, elsewhere.detail) == ("error", "192.0.2.5 is no address of this machine")
    assert "adapters.siprec.listen" in elsewhere.fix
    assert [one.level for one in check(SiprecConfig(allow=[])) if one.what == "allow"] == ["error"]


@pytest.mark.parametrize("installed", [True, False])
def test_the_decoder_of_calls_is_loaded_before_the_first_and_not_on_the_event_loop(installed):
    check_decoder(serving, installed=installed)
