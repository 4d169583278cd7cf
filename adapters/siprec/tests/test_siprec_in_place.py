"""Encrypted packets are decrypted where the kernel put them: of it comes what comes of them one by one."""

from __future__ import annotations

import struct
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vcond.media.rtp.formats import STATIC
from vcond.media.rtp.together import SLOT, Together
from vcond_siprec import libsrtp
from vcond_siprec.keys import SUITES, Crypto
from vcond_siprec.libsrtp import in_place, session
from vcond_siprec.srtp import SecureReceiver

SENDER = ("127.0.0.1", 4000)
CRYPTO = Crypto("1", "AES_CM_128_HMAC_SHA1_80", bytes(range(30)))
REPORT = b"\x80\xc9\0\1" + bytes(4)
MS = 1_000_000


class Heard:
    """Who has the receiver: what is said to it."""

    def __init__(self) -> None:
        self.said: list[tuple] = []

    def stream(self, stream):
        return self

    def __getattr__(self, name):
        return lambda *given, **more: self.said.append((name, given, more))


def packet(number: int, payload: bytes) -> bytes:
    return struct.pack("!BBHII", 0x80, 0, number & 0xFFFF, number * 160, 7) + payload


def together(datagrams) -> Together:
    buffer = bytearray(len(datagrams) * SLOT)
    for at, datagram in enumerate(datagrams):
        buffer[at * SLOT : at * SLOT + len(datagram)] = datagram
    return Together(memoryview(buffer), [*map(len, datagrams)], *zip(*stamped(datagrams), strict=True))


def stamped(datagrams) -> list[tuple]:
    return [(SENDER, (1000 + 20 * at) * MS) for at in range(len(datagrams))]


def outcome(turns, crypto, *, side_by_side: bool):
    """What a receiver and its owner know after these turns."""
    heard = Heard()
    receiver = SecureReceiver(STATIC, heard, crypto)
    for turn in turns:
        singly = [(one, *more) for one, more in zip(turn, stamped(turn), strict=True)]
        receiver.feed_all(together(turn) if side_by_side else singly)
    return heard.said, receiver.stats, receiver.undecrypted


@pytest.mark.parametrize("suite", sorted(SUITES))
def test_packets_of_each_suite_are_heard(suite):
    crypto = Crypto("1", suite, bytes(range(SUITES[suite])))
    seal = session(crypto, inbound=False).protect
    turns = [[seal(packet(turn * 10 + at, bytes([at]) * 160)) for at in range(10)] for turn in range(3)]
    (said, stats, undecrypted), singly = (outcome(turns, crypto, side_by_side=kind) for kind in (True, False))
    assert (said, stats, undecrypted) == singly
    assert (stats.packets, undecrypted) == (30, 0)
    heard = b"".join(given[0] for name, given, _ in said if name == "write")
    assert heard == b"".join(bytes([at]) * 160 for at in range(10)) * 3


CHANGES = {
    "none": lambda seal, number: seal.protect(packet(number, bytes(160))),
    "longer": lambda seal, number: seal.protect(packet(number, bytes(320))),
    "cut": lambda seal, number: seal.protect(packet(number, bytes(160)))[:-1],
    "changed": lambda seal, number: seal.protect(packet(number, bytes(160)))[:-1] + b"x",
    "clear": lambda seal, number: packet(number, bytes(160)),
    "report": lambda seal, number: seal.protect_rtcp(REPORT),
    "too long": lambda seal, number: bytes(SLOT),
    "nothing": lambda seal, number: b"",
    "a byte": lambda seal, number: b"\x80",
}


@settings(max_examples=60, deadline=None)
@given(st.lists(st.lists(st.sampled_from(sorted(CHANGES)), min_size=1, max_size=6), min_size=1, max_size=4))
def test_whatever_comes_is_the_same_as_one_by_one(turns):
    seal = session(CRYPTO, inbound=False)
    numbers = iter(range(100, 200))
    made = [[CHANGES[change](seal, next(numbers)) for change in turn] for turn in turns]
    assert outcome(made, CRYPTO, side_by_side=True) == outcome(made, CRYPTO, side_by_side=False)


def test_a_packet_that_comes_twice_is_counted():
    sealed = session(CRYPTO, inbound=False).protect(packet(1, bytes(160)))
    _, stats, undecrypted = outcome([[sealed, sealed], [sealed]], CRYPTO, side_by_side=True)
    assert (stats.packets, undecrypted) == (1, 2)


def test_nothing_outside_of_the_buffer_is_touched():
    opener = in_place(session(CRYPTO, inbound=True))
    for buffer, sizes in ((bytearray(100), [60, 60]), (bytearray(100), [60]), (bytearray(40), [50])):
        with pytest.raises(ValueError, match="over the end"):
            opener(memoryview(buffer), sizes, 50)
    with pytest.raises(BufferError):
        opener(memoryview(bytes(100)), [50], 50)
    came = together([bytes(50)])
    came.over()
    with pytest.raises(ValueError, match="in time"):
        came.opened(opener)


@pytest.mark.parametrize("wrong", ["another name", "another packet"])
def test_where_that_cannot_be_had_packets_are_decrypted_as_pylibsrtp_does_it(wrong, monkeypatch):
    if wrong == "another name":
        monkeypatch.setitem(sys.modules, "pylibsrtp._binding", None)
    else:
        monkeypatch.setattr(libsrtp, "_opener", lambda of: lambda buffer, sizes, slot: list(sizes))
    libsrtp._can_open.cache_clear()
    try:
        assert in_place(session(CRYPTO, inbound=True)) is None
        seal = session(CRYPTO, inbound=False).protect
        _, stats, undecrypted = outcome([[seal(packet(at, bytes(160))) for at in range(5)]], CRYPTO, side_by_side=True)
        assert (stats.packets, undecrypted) == (5, 0)
    finally:
        monkeypatch.undo()
        libsrtp._can_open.cache_clear()


def test_in_a_run_pylibsrtps_own_way_is_not_taken(monkeypatch):
    monkeypatch.setattr(SecureReceiver, "_singly", None)
    seal = session(CRYPTO, inbound=False).protect
    _, stats, _ = outcome([[seal(packet(at, bytes(160))) for at in range(5)]], CRYPTO, side_by_side=True)
    assert stats.packets == 5
