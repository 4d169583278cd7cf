"""AES_256_CM (RFC 6188), which libsrtp does and pylibsrtp has no name for: against the RFC's vectors, and where it cannot be had."""

from __future__ import annotations

import sys
from itertools import pairwise

import pytest
from pylibsrtp import Error
from siprec_client import ALICE, Leg, metadata, serving
from srtp_by_hand import ByHand, derived, stream

from vcond.testing.time import run_virtual
from vcond.testing.watch import captured_logs
from vcond_siprec import SiprecConfig, libsrtp
from vcond_siprec.check import check
from vcond_siprec.keys import SUITES, Crypto
from vcond_siprec.libsrtp import WIDE, session

MASTER = bytes.fromhex("f0f04914b513f2763a1b1fa130f10e2998f6f6e43e4309d1e622a0e332b9f1b63b04803de51ee7c96423ab5b78d2")
"""Key and salt of RFC 6188 section 7.3."""
REPORT = b"\x80\xc9\0\6" + bytes(range(24))
SUITE = "AES_256_CM_HMAC_SHA1_80"


def packet(seq: int, said: bytes = b"words" * 32) -> bytes:
    return b"\x80\0" + seq.to_bytes(2) + bytes(8) + said


def test_what_is_written_out_beside_libsrtp_does_what_the_rfc_says():
    """Sections 7.1 (a key stream) and 7.3 (keys derived of a master key)."""
    key = bytes.fromhex("57f82fe3613fd170a85ec93c40b1f0922ec4cb0dc025b58272147cc438944a98")
    assert stream(key, int.from_bytes(range(0xF0, 0xFE)), bytes(16)).hex() == "92bdd28a93c3f52511c677d08b5515a4"
    assert [derived(MASTER, label, 8).hex() for label in range(3)] == [
        "5ba1064e30ec5161", "fd9c32d39ed5fbb5", "fa31791685ca444a",
    ]  # fmt: skip


@pytest.mark.parametrize("suite", sorted(WIDE))
def test_packets_of_others_are_decrypted_over_the_turn_of_their_numbers_and_once_each(suite):
    theirs, ours = ByHand(MASTER, WIDE[suite]), session(Crypto("1", suite, MASTER), inbound=True)
    clear = [packet(number & 0xFFFF) for number in range(65_530, 65_545)]
    sealed = [theirs.protect(one) for one in clear]
    assert {len(one) - len(other) for one, other in zip(sealed, clear, strict=True)} == {WIDE[suite]}
    assert [ours.unprotect(one) for one in sealed] == clear
    with pytest.raises(Error, match="replay"):
        ours.unprotect(sealed[-1])
    changed = bytearray(theirs.protect(packet(20)))
    changed[20] ^= 1
    with pytest.raises(Error, match="authentication"):
        ours.unprotect(bytes(changed))


@pytest.mark.parametrize("suite", sorted(WIDE))
def test_reports_are_understood_both_ways(suite):
    other = ByHand(MASTER, WIDE[suite])
    crypto = Crypto("1", suite, MASTER)
    theirs, ours = session(crypto, inbound=True), session(crypto, inbound=False)
    assert [theirs.unprotect_rtcp(other.protect_rtcp(REPORT)) for _ in range(3)] == [REPORT] * 3
    sealed = [ours.protect_rtcp(REPORT) for _ in range(3)]
    assert [other.unprotect_rtcp(one) for one in sealed] == [REPORT] * 3
    assert all(one != after for one, after in pairwise(sealed))


def test_what_is_tried_before_the_suites_are_offered_was_made_without_libsrtp():
    other = ByHand(libsrtp._KEY, 10)
    for (clear, sealed), protect in ((libsrtp._RTP, other.protect), (libsrtp._RTCP, other.protect_rtcp)):
        assert protect(clear) == sealed


def test_a_key_of_another_length_is_never_handed_over():
    for suite, size in SUITES.items():
        with pytest.raises(ValueError, match=f"a key of {size - 1} bytes"):
            session(Crypto("1", suite, bytes(size - 1)), inbound=True)


@pytest.fixture(params=["another form", "a cipher that it does not have", "another name"])
def without(request, monkeypatch):
    """A pylibsrtp with which AES_256_CM cannot be had."""
    if request.param == "another form":
        monkeypatch.setattr(libsrtp, "AES_128", [1, 46])
    elif request.param == "another name":
        monkeypatch.setitem(sys.modules, "pylibsrtp._binding", None)
    else:
        monkeypatch.setattr(libsrtp, "AES_256", [99, 46])
    tried = (libsrtp.suites, libsrtp._can_open)
    for one in tried:
        one.cache_clear()
    yield
    monkeypatch.undo()
    for one in tried:
        one.cache_clear()


@pytest.mark.usefixtures("without")
def test_where_known_packets_do_not_come_out_right_the_suites_are_not_offered_and_this_is_said_once():
    async def main():
        async with serving() as (_, client):
            for _ in range(2):
                assert (await client(Leg("1", suite=SUITE)).invite(metadata(ALICE))).status == 488
            assert (await client(Leg("1", suite="AEAD_AES_256_GCM")).invite(metadata(ALICE))).status == 200

    with captured_logs() as logs:
        run_virtual(main())
    (told,) = [log for log in logs if "AES_256_CM" in log]
    assert "AES_256_CM_HMAC_SHA1_32, AES_256_CM_HMAC_SHA1_80" in told
    found = {finding.what: finding for finding in check(SiprecConfig(listen=["udp:127.0.0.1:0"], allow=["127.0.0.1"]))}
    assert found["SRTP"].level == "warning"
    assert SUITE in found["SRTP"].detail
