"""Trickle ICE: fragments as they may come, and PATCH as a client sees it (RFC 9725 section 4.3)."""

from __future__ import annotations

import pytest
from aiortc import RTCSessionDescription
from hypothesis import given
from hypothesis import strategies as st

from vcond.sdk.contract import ProtocolError
from vcond_webrtc.trickle import FRAGMENT, MOST_CANDIDATES, Section, directed, reachable, sections, usable

HOST = "candidate:1 1 udp 2130706431 192.0.2.1 61764 typ host"
# The example of RFC 9725 section 4.3.2, with one candidate of each transport.
EXAMPLE = (
    "a=group:BUNDLE 0 1\r\n"
    "m=audio 9 UDP/TLS/RTP/SAVPF 111\r\n"
    "a=mid:0\r\n"
    "a=ice-ufrag:EsAw\r\n"
    "a=ice-pwd:P2uYro0UCOQ4zxjKXaWCBui1\r\n"
    "a=candidate:1387637174 1 udp 2122260223 192.0.2.1 61764 typ host generation 0 ufrag EsAw network-id 1\r\n"
    "a=candidate:473322822 1 tcp 1518280447 192.0.2.1 9 typ host tcptype active generation 0 ufrag EsAw network-id 1\r\n"
    "a=end-of-candidates\r\n"
)
MDNS = "candidate:1 1 udp 2113937151 9b36eaac-bb2e-49bb-bb78-21c41c499900.local 50000 typ host"


def test_the_example_of_the_rfc_is_read():
    (section,) = sections(EXAMPLE)
    assert (section.mid, section.ufrag, section.password) == ("0", "EsAw", "P2uYro0UCOQ4zxjKXaWCBui1")
    assert [usable(one) for one in section.candidates] == [True, False]


def test_what_is_said_for_the_session_holds_for_its_sections():
    told = sections(f"a=ice-ufrag:abcd\na=ice-pwd:{'p' * 22}\nm=audio 9 RTP/AVP 0\na=mid:a\na={HOST}\n")
    assert told == [Section("a", "abcd", "p" * 22, (HOST,))]


@pytest.mark.parametrize(
    "fragment",
    ["", "\r\n", "hello", "v=0\r\n" + EXAMPLE, "a=mid:0\r\n", f"a={HOST}\r\n{EXAMPLE}", "m=audio\r\na=mid:0\r\n",
     "m=audio 9 RTP/AVP 0\r\n", "m=audio 9 RTP/AVP 0\r\na=mid:0\r\n\r\na=x\r\n", "m=audio 9 RTP/AVP 0\r\na=mid:ü\r\n"],
)  # fmt: skip
def test_what_is_no_fragment_is_refused(fragment):
    with pytest.raises(ProtocolError):
        sections(fragment)


@given(st.text(alphabet="amcv=:0 9.\r\n/UDPTLSRAVtyphosid", max_size=200))
def test_no_text_does_more_than_be_refused(text):
    try:
        for section in sections(text):
            for candidate in section.candidates:
                usable(candidate)
    except ProtocolError:
        pass


@pytest.mark.parametrize(
    ("candidate", "useful"),
    [
        (HOST, True),
        (HOST.replace("192.0.2.1", "2001:db8::7"), True),
        (HOST.replace("host", "srflx raddr 10.0.0.1 rport 9"), True),
        (MDNS, False),
        (HOST.replace("192.0.2.1", "host.example.com"), False),
        (HOST.replace("192.0.2.1", "224.0.0.251"), False),
        (HOST.replace("192.0.2.1", "0.0.0.0"), False),
        (HOST.replace("192.0.2.1", "fe80::1%eth0"), False),
        (HOST.replace("61764", "0"), False),
        (HOST.replace("61764", "70000"), False),
        (HOST.replace("1 1 udp", "1 2 udp"), False),
        (HOST.replace("host", "prflx"), False),
    ],
)
def test_checks_are_sent_to_udp_addresses_only_and_no_name_is_looked_up(candidate, useful):
    assert usable(candidate) is useful


@pytest.mark.parametrize(
    "candidate", ["candidate:1 1 udp", HOST.replace("typ", "kind"), HOST.replace(" 1 udp", " x udp")]
)
def test_what_is_no_candidate_is_refused(candidate):
    with pytest.raises(ProtocolError):
        usable(candidate)


def test_an_offer_keeps_what_can_be_reached_and_stays_open_for_more():
    offer = f"v=0\r\nm=audio 9 RTP/AVP 0\r\na={MDNS}\r\na={HOST}\r\na=end-of-candidates\r\na=mid:0\r\n"
    assert reachable(offer) == f"v=0\r\nm=audio 9 RTP/AVP 0\r\na={HOST}\r\na=mid:0\r\n"


def bare(offer: str) -> str:
    """The offer of a client that trickles from the first candidate on."""
    return "".join(line for line in offer.splitlines(keepends=True) if "candidate" not in line)


def fragment(offer: str, *, ufrag: str = "") -> str:
    """All that ``bare`` left out, as a client sends it afterwards."""
    wanted = ("m=", "a=mid:", "a=ice-ufrag:", "a=ice-pwd:", "a=candidate:", "a=end-of-candidates")
    lines = [line for line in offer.splitlines() if line.startswith(wanted)]
    return "".join(f"a=ice-ufrag:{ufrag}\r\n" if ufrag and "ufrag" in line else f"{line}\r\n" for line in lines)


async def patch(person, where, tag, body, kind=FRAGMENT):
    headers = {"Content-Type": kind} | ({"If-Match": tag} if tag else {})
    async with person.http.patch(where, data=body, headers=headers) as told:
        assert "ETag" not in told.headers
        return told.status


async def test_a_publisher_that_can_only_be_reached_at_what_it_trickles_connects(serving):
    # what it is told is an address where nobody listens, so its own checks reach nothing
    async with serving(advertise="127.0.0.2") as (host, person):
        ann = person()
        ann.watch()
        offer = await ann.offer()
        answer = await ann.post(bare(offer), call="c")
        assert answer.status == 201
        assert answer.headers["Accept-Patch"] == FRAGMENT
        await ann.connection.setRemoteDescription(RTCSessionDescription(await answer.text(), "answer"))
        where, tag = answer.headers["Location"], answer.headers["ETag"]
        assert not host.calls
        assert await patch(ann, where, tag, fragment(offer)) == 204
        await host.until(lambda: host.by_key("c").state.tracks, what="a track")
        assert await patch(ann, where, "*", fragment(offer)) == 204, "the same again does no harm"
        async with ann.http.delete(where, headers={"If-Match": '"another"'}) as told:
            assert told.status == 200, "tags are ignored where no ICE session is meant"
        await host.until(lambda: host.by_key("c").over)


async def test_an_offer_that_hides_its_addresses_behind_names_connects_by_its_own_checks(serving):
    async with serving() as (host, person):
        ann = person()
        offer = await ann.offer()
        hidden = [f"a={MDNS}" if "candidate:" in line else line for line in offer.splitlines()]
        assert "a=end-of-candidates" in hidden
        ann.watch()
        answer = await ann.post("".join(f"{line}\r\n" for line in hidden), call="c")
        await ann.connection.setRemoteDescription(RTCSessionDescription(await answer.text(), "answer"))
        await host.until(lambda: host.by_key("c").state.tracks, what="a track")
        await ann.connected.wait()


async def test_every_patch_that_cannot_be_is_refused_by_its_kind_and_the_session_goes_on(serving):
    async with serving() as (host, person):
        ann = person()
        await ann.publish(call="c")
        where, tag, ours = ann.location, ann.tag, fragment(ann.connection.localDescription.sdp)
        for given_tag, body, kind, status in (
            (tag, ours, "application/sdp", 415),
            ("", ours, FRAGMENT, 428),
            ('"another"', ours, FRAGMENT, 412),
            (f"W/{tag}", ours, FRAGMENT, 412),
            ("nonsense", ours, FRAGMENT, 412),
            (tag, "hello", FRAGMENT, 400),
            (tag, b"\xff", FRAGMENT, 400),
            (tag, "x" * 20_000, FRAGMENT, 413),
            (tag, ours.replace("typ", "kind"), FRAGMENT, 400),
            (tag, ours.replace("typ host", "typ srflx raddr 127.0.0.1 rport x"), FRAGMENT, 400),
            ("*", fragment(ours, ufrag="restarted"), FRAGMENT, 422),
            (tag, ours.replace("a=mid:0", "a=mid:another"), FRAGMENT, 204),
            (f'"another", {tag}', ours, FRAGMENT, 204),
        ):
            assert await patch(ann, where, given_tag, body, kind) == status, (given_tag, body[:20])
        assert await patch(person(), "/whip/nobodys", tag, ours) == 404
        assert await patch(person("wrong"), where, tag, ours) == 401
        assert not host.drops
        frames = ann.microphone.frames
        await host.until(lambda: ann.microphone.frames > frames + 20)
        await ann.hang_up()
        await host.until(lambda: host.by_key("c").over)
        assert len(host.by_key("c").state.tracks) == 1


def test_a_section_without_a_direction_has_that_of_the_session_or_both():
    sections = "m=audio 9 RTP/AVP 0\r\na=sendonly\r\nm=audio 9 RTP/AVP 0\r\n"
    assert directed(f"v=0\r\n{sections}") == f"v=0\r\n{sections}a=sendrecv\r\n"
    assert directed(f"v=0\r\na=inactive\r\n{sections}") == f"v=0\r\na=inactive\r\n{sections}a=inactive\r\n"


async def test_the_number_of_addresses_is_bounded(serving):
    async with serving() as (host, person):
        ann = person()
        await ann.publish(call="c")
        head = f"m=audio 9 UDP/TLS/RTP/SAVPF 0\r\na=mid:{ann.connection.getTransceivers()[0].mid}\r\n"
        many = "".join(f"a=candidate:1 1 udp 1 127.0.0.1 {1000 + i} typ host\r\n" for i in range(MOST_CANDIDATES))
        assert await patch(ann, ann.location, ann.tag, head + many) == 204
        assert host.drops == {("candidate", "too-many"): 1}, "its offer had one"
        assert await patch(ann, ann.location, ann.tag, head + many) == 204
        assert host.drops == {("candidate", "too-many"): 1 + MOST_CANDIDATES}
