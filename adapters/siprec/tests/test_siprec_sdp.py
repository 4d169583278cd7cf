"""Offers of every vendor, and our answers to them."""

import pytest
from siprec_kit import all_names, message

from vcond.base.errors import ProtocolError
from vcond.media.codecs import Codec
from vcond_siprec.body import take_apart
from vcond_siprec.keys import SUITES, Crypto
from vcond_siprec.sdp import MAX_SDP, MOST_LINES, Place, answer, offer, read


def description(name):
    return read(take_apart(*message(name)[1:]).descriptions[0])


def answered(session, places):
    return answer(session, places, host="192.0.2.50", version=3, number=77).decode()


# Of each: media, port, direction, label and payload types of each line.
LINES = {
    "opensips/10.5-plain-01": [
        ("audio", 26678, "sendonly", "1", "0 101"), ("audio", 26690, "sendonly", "0", "0 101"),
    ],
    "opensips/10.5-multicodec-01": [
        ("audio", 26848, "sendonly", "1", "8 0 101"), ("audio", 26870, "sendonly", "0", "8 0 101"),
    ],
    "opensips/10.5-hold-04": [
        ("audio", 26920, "sendonly", "1", "0 101"), ("audio", 26942, "inactive", "0", "0 101"),
    ],
    "opensips/10.5-audio_video-01": [
        ("audio", 26982, "sendonly", "1", "0 101"), ("video", 26400, "sendonly", "3", "96"),
        ("audio", 26420, "sendonly", "0", "0 101"), ("video", 26436, "sendonly", "2", "96"),
    ],
    "opensips/26.3-pause-04": [
        ("audio", 26248, "inactive", "0", "0 101"), ("audio", 26274, "inactive", "1", "0 101"),
    ],
    "jambonz/default-invite": [
        ("audio", 26776, "sendonly", "1", "0 101"), ("audio", 26790, "sendonly", "2", "0 101"),
    ],
    "jambonz/default-pause": [
        ("audio", 26776, "inactive", "1", "0 101"), ("audio", 26790, "inactive", "2", "0 101"),
    ],
    "shapes/12": [("audio", 30000, "sendonly", "1", "8 101 0 9 18")],
    "shapes/14": [("audio", 30000, "inactive", "1", "8 101 0 9 18")],
    "shapes/15": [("audio", 30000, "sendrecv", "1", "0 8 101")],
    "shapes/20": [("audio", 30000, "sendonly", None, "0 8 101")],
    "shapes/22": [
        ("audio", 30000, "sendonly", "1", "0 101"), ("audio", 30002, "sendonly", "2", "0 101"),
        ("video", 30004, "sendonly", "3", "96"),
    ],
}  # fmt: skip


@pytest.mark.parametrize("name", LINES)
def test_the_lines_of_an_offer_are_read(name):
    found = [(one.media, one.port, one.direction, one.label, " ".join(one.formats)) for one in description(name).lines]
    assert found == LINES[name]


@pytest.mark.parametrize("name", all_names())
def test_an_answer_has_every_line_and_every_payload_type_of_it(name):
    for text in take_apart(*message(name)[1:]).descriptions:
        session = read(text)
        places = [Place(40_000 + 2 * n, receives=line.is_audio) for n, line in enumerate(session.lines)]
        ours = read(answered(session, places).encode())
        for line, own, place in zip(session.lines, ours.lines, places, strict=True):
            assert (own.media, own.protocol, own.formats, own.maps, own.settings, own.label) == (
                line.media, line.protocol, line.formats, line.maps, line.settings, line.label,
            )  # fmt: skip
            assert own.direction == ("recvonly" if place.receives else "inactive")
            assert (own.port, own.host) == (place.port, "192.0.2.50")


def test_an_answer_as_it_is_sent():
    session = description("opensips/10.5-plain-01")
    assert answered(session, [Place(40_000, receives=True), Place(40_002)]).split("\r\n") == [
        "v=0", "o=vcond 77 3 IN IP4 192.0.2.50", "s=vcond", "c=IN IP4 192.0.2.50", "t=0 0",
        "m=audio 40000 RTP/AVP 0 101", "a=rtpmap:0 PCMU/8000", "a=rtpmap:101 telephone-event/8000", "a=fmtp:101 0-16",
        "a=label:1", "a=recvonly",
        "m=audio 40002 RTP/AVP 0 101", "a=rtpmap:0 PCMU/8000", "a=rtpmap:101 telephone-event/8000", "a=fmtp:101 0-16",
        "a=label:0", "a=inactive",
        "",
    ]  # fmt: skip


def test_a_line_that_is_refused_says_nothing_more():
    session = read(b"v=0\nm=audio 0 RTP/AVP 0\na=label:1\nm=audio 4000 RTP/AVP 0\n")
    assert "m=audio 0 RTP/AVP 0\r\nm=audio 40000" in answered(session, [Place(0), Place(40_000, receives=True)])
    assert session.audio == [1]


def test_ipv6_is_said_to_be():
    text = answer(read(b"v=0\nm=audio 9 RTP/AVP 0\n"), [Place(9)], host="2001:db8::1", version=1, number=1)
    assert b"c=IN IP6 2001:db8::1\r\n" in text


def test_where_a_line_is_and_whether_it_sends():
    text = b"v=0\nc=IN IP4 192.0.2.9\na=inactive\nm=audio 4000 RTP/AVP 0\nm=audio 4000 RTP/AVP 0\na=sendonly\nc=IN IP4 192.0.2.8\n"
    one, two = read(text).lines
    assert (one.host, one.sends, two.host, two.sends) == ("192.0.2.9", False, "192.0.2.8", True)
    held = read(b"v=0\nc=IN IP4 0.0.0.0\nm=audio 4000 RTP/AVP 0\na=sendonly\n").lines[0]
    assert (held.host, held.direction) == ("", "inactive")


def test_what_payload_types_stand_for():
    line = description("opensips/10.5-opus-01").lines[0]
    known = line.payloads()
    assert (known[111].name, known[111].rate, known[0].codec, known[8].codec) == (
        "opus",
        48_000,
        Codec.PCMU,
        Codec.PCMA,
    )
    assert line.sound[0].name == "opus"
    odd = read(b"v=0\nm=audio 4000 RTP/AVP 0 96 x 999\na=rtpmap:96 nonsense\na=rtpmap:0 PCMU/8000\n").lines[0]
    assert [one.name for one in odd.sound] == ["pcmu"]


def test_our_own_offer_is_one_that_receives():
    (line,) = read(offer(40_000, host="192.0.2.50", version=1, number=1)).lines
    assert (line.port, line.direction, line.formats) == (40_000, "recvonly", ("0", "8", "101"))
    assert [one.name for one in line.sound] == ["pcmu", "pcma"]


# Keys.

KEY = "WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz"
"""As in RFC 4568 section 6.1."""


def secured(*crypto, protocol="RTP/SAVP"):
    lines = "".join(f"a=crypto:{one}\r\n" for one in crypto)
    return read(f"v=0\r\nm=audio 4000 {protocol} 0\r\n{lines}".encode()).lines[0]


def test_keys_that_can_be_used_are_read_with_and_without_padding_and_lifetime():
    gcm = "8RgAQ+830RxbafcspXb3JV+3SsGzJtmFs7ul/tQpoXSslC+ce1/0HIEdEqw"
    line = secured(
        f"1 AES_CM_128_HMAC_SHA1_80 inline:{KEY}|2^31", f"7 AES_CM_128_HMAC_SHA1_32 inline:{KEY}", f"2 AEAD_AES_256_GCM inline:{gcm}",
    )  # fmt: skip
    assert [(one.tag, one.suite, len(one.key)) for one in line.cryptos] == [
        ("1", "AES_CM_128_HMAC_SHA1_80", 30), ("7", "AES_CM_128_HMAC_SHA1_32", 30), ("2", "AEAD_AES_256_GCM", 44),
    ]  # fmt: skip


@pytest.mark.parametrize(
    "crypto",
    [
        f"1 F8_128_HMAC_SHA1_80 inline:{KEY}",
        f"1 AES_CM_128_HMAC_SHA1_80 inline:{KEY[:-4]}",
        "1 AES_CM_128_HMAC_SHA1_80 inline:!",
        f"1 AES_CM_128_HMAC_SHA1_80 inline:{KEY}|2^31|1:4",
        f"1 AES_CM_128_HMAC_SHA1_80 inline:{KEY};inline:{KEY}",
        f"1 AES_CM_128_HMAC_SHA1_80 inline:{KEY} UNENCRYPTED_SRTP",
        "x",
    ],
)
def test_keys_that_cannot_be_used_are_passed_over(crypto):
    assert secured(crypto).cryptos == ()


def test_our_key_is_of_the_same_suite_and_another_one():
    for suite, size in SUITES.items():
        theirs = Crypto("3", suite, bytes(size))
        ours = theirs.ours()
        assert (ours.tag, ours.suite, len(ours.key)) == ("3", suite, size)
        assert ours.key not in {theirs.key, theirs.ours().key}
        (back,) = Crypto.all_of([ours.line])
        assert back == ours


def test_the_text_of_nothing_holds_a_key():
    line = secured(f"1 AES_CM_128_HMAC_SHA1_80 inline:{KEY}")
    assert line.cryptos
    assert KEY[:8] not in repr(line)
    assert repr(line.cryptos[0].key) not in repr(line.cryptos[0])


def test_a_line_with_keys_is_answered_with_the_same_transport():
    session = read(f"v=0\nm=audio 4000 RTP/SAVP 0\na=crypto:5 AES_CM_128_HMAC_SHA1_80 inline:{KEY}\n".encode())
    ours = session.lines[0].cryptos[0].ours()
    text = answered(session, [Place(40_000, receives=True, crypto=ours)])
    assert "m=audio 40000 RTP/SAVP 0\r\n" in text
    assert f"a=crypto:5 AES_CM_128_HMAC_SHA1_80 {ours.line.split()[-1]}\r\n" in text
    assert KEY not in text


# What is none.


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"v=0",
        b"hello",
        b"v=0\nm=audio",
        b"v=0\nm=audio 99999 RTP/AVP 0",
        b"v=0\nm=audio x RTP/AVP 0",
        b"v=0\nm=audio 4000 RTP/AVP",
        b"v=0\n" + b"m=audio 4000 RTP/AVP 0\n" * (MOST_LINES + 1),
        b"v=0\nm=audio 4000 RTP/AVP" + b" 0" * 129,
        b"v=0\nm=audio 4000 RTP/AVP 0\n" + b"a=x\n" * 2001,
        b"v=0\nm=audio 4000 RTP/AVP 0\n" + b" " * MAX_SDP,
    ],
)
def test_what_is_no_description_is_refused(text):
    with pytest.raises(ProtocolError):
        read(text)


@pytest.mark.parametrize("name", ["opensips/10.5-audio_video-01", "shapes/12"])
def test_a_description_that_is_cut_off_is_read_or_refused(name):
    (text,) = take_apart(*message(name)[1:]).descriptions
    for end in range(len(text)):
        try:
            session = read(text[:end])
        except ProtocolError:
            continue
        answered(session, [Place(40_000)] * len(session.lines))


def test_bytes_that_are_no_utf8_are_no_reason_to_refuse():
    assert read(b"v=0\ns=\xff\xfe\nm=audio 4000 RTP/AVP 0\na=label:\xe9\n").lines[0].label == "\ufffd"
