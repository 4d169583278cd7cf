"""Whole captured sessions on sockets: as they came, in disorder, and over TCP in pieces; each as is expected by hand."""

from __future__ import annotations

import asyncio
import re
from typing import NamedTuple

import numpy as np
import pytest
from siprec_captures import Player, Scenario, field, is_new, method, packets, scenarios
from siprec_client import drive, facts, moments, serving, warnings

from vcond.sip.messages import MalformedError
from vcond.sip.stream import StreamReader

ALICE, BOB = ("alice@pbx.example", "Alice A"), ("bob@pbx.example", "")
BOTH = [(0, "join"), (1, "join")]
GONE = [(0, "drop"), (1, "drop")]
HELD = [(0, "hold"), (0, "unhold")]
KEY = [(0, "keydown"), (0, "keyup")]
TONE = 1.2
"""Seconds that each phone of a session says whose audio was not captured."""
LATE = 0.1
"""Seconds by which what is heard may differ: what is on its way when a line is stopped."""


class Expected(NamedTuple):
    """Of one scenario; what is not said is the usual thing."""

    requests: int = 2
    """Of the client, without ACKs: each is answered 200."""
    answers: tuple[str, ...] = ("rr",)
    """Each with a letter a line: (r)ecvonly, (i)nactive."""
    formats: tuple[str, ...] = ("0 101", "0 101")
    people: tuple[tuple[str, str], ...] = (ALICE, BOB)
    between: tuple[tuple[int, str], ...] = ()
    """What happens between the first and the last."""
    tones: tuple[tuple[int, float], ...] = ((440, TONE), (880, TONE))
    """What is heard of each party: Hz, and for how many seconds."""
    over: bool = True
    pauses: int = 0
    lied: bool = False
    """Audio comes on a line that the client has stopped."""
    facts: tuple[tuple[str, str], ...] = ()
    times: tuple[float, ...] = ()
    """When INVITEs and BYEs came, in seconds after the first captured packet of audio."""


USUAL = Expected()
LEFT = Expected(1, over=False)
"""The client says no more: what it was answered then was a refusal, or its server was gone."""
VIDEO = Expected(answers=("riri",), formats=("0 101", "96", "0 101", "96"), facts=(("siprec.parties_by", "order of the lines, not their labels"),))  # fmt: skip
VIDEO_LAST = VIDEO._replace(answers=("rrii",), formats=("0 101", "0 101", "96", "96"))
PLAIN = Expected(tones=((440, 2.02), (880, 2.2)), between=tuple(KEY), times=(-0.016, 2.194))
HOLD = Expected(6, ("rr", "ri", "rr", "ii", "rr"), between=tuple(HELD), tones=((440, 4.6), (880, 3.4)), pauses=1)
ONE_HELD = Expected(3, ("rr", "ri"), between=((0, "hold"),))
HELD_AND_BACK = Expected(4, ("rr", "ri", "rr"), between=tuple(HELD))
MOVED = Expected(3, ("rr", "rr"), tones=((440, 2.4), (880, 2.4)), times=(-0.016, 1.186, 2.388))
PCMA = Expected(formats=("8 0 101", "8 0 101"))
ANON = Expected(people=(("alice@pbx.example", "Müller & Söhne <x>"), BOB))
SALES = Expected(facts=(("siprec.group_id", "sales"),))
NOTHING = ((0, 0.0), (0, 0.0))
JAMBONZ = Expected(
    4, ("rr", "ii", "rr"), people=(("15550100", ""), ("15550200", "")), pauses=1, tones=((440, 2.0), (880, 2.0))
)
EXPECTED = {
    **{f"3.4.18+10.5/{name}": USUAL for name in ("answer_no_te", "early")},
    **{f"3.4.18+10.5/{name}": LEFT for name in ("srs_bye", "tcp_gone")},
    "3.4.18+10.5/anon": ANON,
    "3.4.18+10.5/audio_video": VIDEO,
    "3.4.18+10.5/av_inactive": VIDEO,
    "3.4.18+10.5/bye_before_answer": Expected(4, ("rr",) * 3, people=()),
    "3.4.18+10.5/group_headers": SALES,
    "3.4.18+10.5/hold": HOLD._replace(lied=True, times=(-0.016, 1.199, 2.41, 3.616, 4.617, 5.619)),
    "3.4.18+10.5/one_mline": ONE_HELD,
    "3.4.18+10.5/pause": Expected(  # Debian's rtpengine does not pause, and says so: the offer is sendonly
        4, ("rr",) * 3, tones=((440, 4.3), (880, 4.3)), times=(-0.016, 1.184, 2.39, 4.299)
    ),
    "3.4.18+10.5/plain": PLAIN,
    **{
        f"4.0.1+10.5/{name}": USUAL
        for name in (
            "answer_no_te",
            "answer_nodir",
            "answer_pcmu_te",
            "asym",
            "audio_inactive_one",
            "callee_bye",
            "early",
            "early_busy",
            "extra_pt",
            "failover_2nd",
            "late",
            "no_rtpmap101",
            "order_swapped",
            "refer",
            "sips",
            "srs_inv_nosdp",
            "timer",
            "truncated2",
            "truncated_answer",
            "update_method",
        )
    },
    **{
        f"4.0.1+10.5/{name}": LEFT
        for name in (
            "answer_inactive",
            "failover_1st",
            "refuse302",
            "refuse488",
            "refuse503",
            "srs_bye",
            "srs_requests",
            "tcp_gone",
        )
    },
    "4.0.1+10.5/anon": ANON,
    **{f"4.0.1+10.5/{name}": VIDEO for name in ("audio_video", "av_inactive", "av_recvonly", "av_zero")},
    "4.0.1+10.5/bye_before_answer": Expected(4, ("rr",) * 3, people=()),
    "4.0.1+10.5/g722": Expected(formats=("9 0 101",) * 2, tones=NOTHING),
    "4.0.1+10.5/group_headers": SALES,
    "4.0.1+10.5/hold": HOLD._replace(lied=True, times=(-0.015, 1.187, 2.392, 3.594, 4.596, 5.598)),
    "4.0.1+10.5/hold_0000": Expected(4, ("rr", "ii", "rr"), pauses=1),
    "4.0.1+10.5/indialog": Expected(3),
    "4.0.1+10.5/multi_sameport": USUAL._replace(times=(-0.012, 1.191)),
    "4.0.1+10.5/multicodec": PCMA,
    "4.0.1+10.5/multicodec_one": PCMA,
    "4.0.1+10.5/one_mline": ONE_HELD,
    "4.0.1+10.5/opus": Expected(formats=("111 0 101",) * 2, tones=NOTHING),
    "4.0.1+10.5/pause": Expected(4, ("rr",) * 3, tones=((440, 3.6), (880, 3.6)), times=(-0.017, 1.185, 2.388, 3.592)),
    "4.0.1+10.5/plain": PLAIN,
    "4.0.1+10.5/reinvite_481": HELD_AND_BACK,
    "4.0.1+10.5/reinvite_491": ONE_HELD,
    "4.0.1+10.5/reinvite_500": ONE_HELD,
    "4.0.1+10.5/reinvite_mute": HELD_AND_BACK._replace(requests=13, answers=("rr", *("ri",) * 4, *("rr",) * 4)),
    "4.0.1+10.5/reinvite_newport": MOVED,
    "4.0.1+10.5/reinvite_refused": HELD_AND_BACK,
    "4.0.1+10.5/srs_mute": LEFT._replace(requests=4, answers=("rr",) * 4),
    "4.0.1+10.5/srs_slow": Expected(4, ("rr",) * 3),
    "4.0.1+10.5/tcp": ONE_HELD,
    "4.0.1+10.5/tcp_closed": ONE_HELD._replace(tones=((440, 4.2), (880, 2.7)), lied=True, times=(-0.014, 2.689, 4.192)),
    "4.0.1+10.5/telname": Expected(people=(("+15550100", "Alice A"), BOB)),
    "4.0.1+10.5/tls": ONE_HELD,
    "4.0.1+10.5/transfer": Expected(
        4, ("rr", "rr"), tones=((440, 1.44), (880, 1.42)), times=(-0.008, 1.416, 1.419, 2.427)
    ),
    **{
        f"4.0.1+26.3/{name}": USUAL
        for name in (
            "answer_inactive",
            "answer_no_te",
            "answer_nodir",
            "audio_inactive_one",
            "early",
            "early_busy",
            "extra_pt",
            "no_rtpmap101",
            "one_mline",
            "order_swapped",
            "truncated2",
            "truncated_answer",
        )
    },
    **{f"4.0.1+26.3/{name}": VIDEO_LAST for name in ("audio_video", "av_inactive", "av_recvonly", "av_zero")},
    "4.0.1+26.3/hold": HOLD._replace(times=(-0.018, 1.185, 2.392, 3.594, 4.597, 5.597)),
    "4.0.1+26.3/multicodec_one": PCMA,
    "4.0.1+26.3/pause": Expected(
        4, ("rr", "ii", "rr"), tones=((440, 2.4), (880, 2.4)), pauses=1, times=(-0.009, 1.193, 2.397, 3.601)
    ),
    "4.0.1+26.3/plain": PLAIN,
    "4.0.1+26.3/reinvite_newport": MOVED,
    "jambonz+10.5/default": JAMBONZ._replace(
        facts=(("siprec.extension.carrier", "ACME & Sons"),), times=(-0.016, 0.99, 2.0, 3.02)
    ),
    "jambonz+10.5/smart_tap": JAMBONZ._replace(times=(-0.016, 1.0, 2.01, 3.02)),
}
SILENT = {"bye_before_answer"}
"""The client hangs up as soon as it is answered."""


async def play(scenario: Scenario, player: Player, expected: Expected, *, disorder: bool, silent: bool) -> None:
    """In disorder: an ACK comes after what follows it, everything comes twice, and at the end all of it again."""
    loop = asyncio.get_running_loop()
    begun = loop.time() + 0.05
    sound = asyncio.create_task(_phones(player, scenario.pcap, begun)) if scenario.pcap else None
    late, times = [], iter(expected.times)
    for number, data in enumerate(scenario.messages):
        if sound is not None and method(data) in {"INVITE", "BYE"}:
            await asyncio.sleep(max(0.0, begun + next(times) - loop.time()))
        if disorder and method(data) == "ACK":
            late.append(data)
            continue
        await player.ask(data)
        for one in [data, *late] if disorder else ():
            await player.send(player.now(one))
        late.clear()
        if sound is None:
            again = [one for one in scenario.messages[number + 1 :] if is_new(one)]
            await player.tones(data, TONE) if is_new(data) and not again and not silent else await asyncio.sleep(0.1)
    for one in [*late, *reversed(scenario.messages)] if disorder else ():
        await player.send(player.now(one))
    if sound is not None:
        await sound
    await asyncio.sleep(3)


async def _phones(player: Player, pcap: bytes, begun: float) -> None:
    loop = asyncio.get_running_loop()
    for at, source, packet in packets(pcap):
        await asyncio.sleep(max(0.0, begun + at - loop.time()))
        if source in player.ports:
            player.rtp(source, packet)


def heard(host, call, party) -> tuple[int, float]:
    """The loudest frequency of all that is heard of a party, and for how long it is."""
    pcm = host.audio(call, party, rate=8000).astype(float)
    frames = np.abs(pcm[: len(pcm) // 160 * 160].reshape(-1, 160)).max(axis=1) > 500 if len(pcm) else np.zeros(0)
    if not frames.any():
        return 0, 0.0
    spectrum = np.abs(np.fft.rfft(pcm))
    return round(float(np.fft.rfftfreq(len(pcm), 1 / 8000)[np.argmax(spectrum)])), float(frames.sum()) / 50


def replay(name: str, transport: str = "udp", *, disorder: bool = False) -> None:
    scenario, expected = scenarios()[name], EXPECTED[name]

    async def main():
        async with serving(listen=[f"{transport}:127.0.0.1:0"]) as (host, _):
            player = Player()
            port = int(re.search(r"127\.0\.0\.1:(\d+)", host.attachments[-1][1])[1])
            await player.connect(transport, port, scenario.messages[0])
            try:
                await play(scenario, player, expected, disorder=disorder, silent=name.rpartition("/")[2] in SILENT)
            finally:
                await player.close()
            judge(host, player, expected, name)

    drive(main())


def judge(host, player: Player, expected: Expected, name: str) -> None:
    assert player.statuses == [200] * expected.requests
    assert tuple(player.directions) == expected.answers
    assert tuple(player.formats) == expected.formats
    broken = {("metadata", "not-well-formed"): 1} if "Söhne" in str(expected.people) else {}
    told = {key: number for key, number in host.drops.items() if key[0] != "sip"}
    assert {key: told[key] for key in told if key != ("frame", "inactive")} == broken
    assert (("frame", "inactive") in told) == expected.lied
    if not expected.people:
        assert not host.calls
        return
    call, *others = host.calls
    assert len(others) == (1 if "transfer" in name else 0)
    assert [(one.who.sip or one.who.tel, one.who.name) for one in call.state.parties] == list(expected.people)
    assert moments(call) == [*BOTH, *expected.between, *(GONE if expected.over else [])]
    assert call.over == expected.over
    assert warnings(call) == (["audio-while-inactive"] if expected.lied else [])
    assert len(call.state.pauses) == expected.pauses
    assert dict(expected.facts).items() <= facts(call).items()
    assert facts(call)["siprec.call_id"] == field(scenarios()[name].messages[0], "Call-ID")
    for party, (hertz, seconds) in enumerate(expected.tones):
        told_hertz, told_seconds = heard(host, call, party)
        assert told_hertz == pytest.approx(hertz, abs=5)
        assert told_seconds == pytest.approx(seconds, abs=LATE)
    if others:  # who was called speaks with a third
        assert [one.who.sip for one in others[0].state.parties] == ["bob@pbx.example", "carol@pbx.example"]
        assert heard(host, others[0], 1) == (pytest.approx(620, abs=5), pytest.approx(1.0, abs=LATE))


def test_every_captured_session_has_its_expectation():
    assert sorted(EXPECTED) == sorted(scenarios())


@pytest.mark.parametrize("name", EXPECTED)
def test_as_it_came(name):
    replay(name)


@pytest.mark.slow
@pytest.mark.parametrize("name", EXPECTED)
def test_twice_late_and_in_another_order(name):
    replay(name, disorder=True)


@pytest.mark.slow
@pytest.mark.parametrize("name", EXPECTED)
def test_over_tcp_in_pieces(name):
    replay(name, "tcp")


def test_each_message_cut_at_every_byte_is_the_same_message():
    for messages, _ in scenarios().values():
        for data in messages:
            whole, cut = StreamReader(), StreamReader()
            (wanted,) = whole.feed(data)
            (found,) = [one for at in range(len(data)) for one in cut.feed(data[at : at + 1])]
            assert not isinstance(wanted, MalformedError)
            assert cut.idle
            assert (list(found.headers), found.body) == (list(wanted.headers), wanted.body)
