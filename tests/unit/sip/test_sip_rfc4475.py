"""RFC 4475, as far as it concerns a server: messages of our own, each after the section that it is for.

Where that RFC lets a server choose, the call is taken: what could be recorded is not lost for a header field.
"""

import pytest
from sip_kit import SDP, Table, field, fields, status

from vcond.sip.messages import Response, read

REST = "Max-Forwards: 70\r\nContact: <sip:caller@host5.example.net>\r\n"


def message(text, body=b""):
    return text.strip("\n").replace("\n", "\r\n").encode("utf-8", "surrogateescape") + b"\r\n\r\n" + body


def plain(
    start="INVITE sip:user@example.com SIP/2.0",
    cseq="8 INVITE",
    more="",
    to="<sip:j.user@example.com>",
    sender="<sip:caller@example.net>;tag=134161461246",
):
    return message(
        f"{start}\nMax-Forwards: 7\nTo: {to}\nFrom: {sender}\nCall-ID: torture.0ha0isndaksdj\nCSeq: {cseq}\n"
        f"Via: SIP/2.0/UDP 192.0.2.15;rport;branch=z9hG4bKkdjuw\nContact: <sip:caller@host5.example.net>\n{more}".rstrip("\n")
    )  # fmt: skip


SHORT_TORTUOUS = message(
    r"""
INVITE sip:vivekg@chair-dnrc.example.com;unknownparam SIP/2.0
TO :
 sip:vivekg@chair-dnrc.example.com ;   tag    = 1918181833n
from   : "J Rosenberg \\\""       <sip:jdrosen@example.com>
  ;
  tag = 98asjd8
MaX-fOrWaRdS: 0068
Call-ID: wsinv.ndaksdj@192.0.2.1
Content-Length   : 150
cseq: 0009
  INVITE
Via  : SIP  /   2.0
 /UDP
    192.0.2.2;branch=390skdjuw
s :
NewFangledHeader:   newfangled value
 continued newfangled value
UnknownHeaderWithUnusualValue: ;;,,;;,;
Content-Type: application/sdp
Route:
 <sip:services.example.com;lr;unknownwith=value;unknown-no-value>
v:  SIP  / 2.0  / TCP     spindle.example.com   ;
  branch  =   z9hG4bK9ikj8  ,
 SIP  /    2.0   / UDP  192.168.255.111   ; branch=
 z9hG4bK30239
m:"Quoted string \"\"" <sip:jdrosen@example.com> ; newparam =
      newvalue ;
  secondparam ; q = 0.33
""",
    b"v=0\r\no=mhandley 29739 7272939 IN IP4 192.0.2.3\r\ns=-\r\nc=IN IP4 192.0.2.4\r\nt=0 0\r\nm=audio 49217 RTP/AVP 0 12\r\n"
    b"m=video 3227 RTP/AVP 31\r\na=rtpmap:31 LPC\r\n",
)
LONG = "i" * 1000
TAKEN = {
    "3.1.1.1 short tortuous INVITE, outside of a dialog": SHORT_TORTUOUS.replace(b" ;   tag    = 1918181833n", b""),
    "3.1.1.3 escapes in URIs": plain("INVITE sip:sips%3Auser%40example.com@example.net SIP/2.0"),
    "3.1.1.6 no blank between display name and bracket": plain(sender="caller<sip:caller@example.com>;tag=323"),
    "3.1.1.7 long values": plain(
        more=f"Unknown-{LONG}: unknown-{LONG}-value; p-{LONG}=x\nVia: SIP/2.0/TCP sip33.example.com\n" + 30 * "v: SIP/2.0/TCP a.example\n",
        sender=f'"I have a user name of {LONG} proportions" <sip:{LONG}long@example.net>;tag=12982{LONG};unknown{LONG}name={LONG}',
    ),
    "3.1.1.8 extra octets behind the body": plain(more="Content-Length: 0") + b"INVITE sip:joe@example.com SIP/2.0\r\nTo: <x>\r\n",
    "3.1.1.9 semicolon in the user part": plain("INVITE sip:user;par=u%40example.net@example.com SIP/2.0"),
    "3.1.1.10 transports of all kinds": plain(
        more="Via: SIP/2.0/SCTP t1.example.com;branch=z9hG4bKa\nVia: SIP/2.0/TLS t2.example.com;branch=b\nVia: SIP/2.0/UNKNOWN t3.example.com"
    ),
    "3.1.1.11 multipart": plain(more="Content-Type: multipart/mixed;boundary=7a9cbec02ceef655"),
    "3.1.2.1 separators too many": plain(more='m: "Joe" <sip:joe@example.org>;;;;'),
    "3.1.2.11 escaped header fields in the Request-URI": plain("INVITE sip:user@example.com?Route=%3Csip:example.com%3E SIP/2.0"),
    "3.1.2.12 a zone that a Date has not": plain(more="Date: Fri, 01 Jan 2010 16:00:00 EST"),
    "3.1.2.13 Contact without brackets": plain(more="m: sip:user@example.com?Route=%3Csip:sip.example.com%3E"),
    "3.1.2.15 a display name with characters that need quotes": plain(sender="Bell, Alexander <sip:a.g.bell@example.com>;tag=43").replace(b"Bell,", b"Bell@"),
    "3.2.1 a branch that is only its cookie": plain().replace(b"z9hG4bKkdjuw", b"z9hG4bK"),
    "3.3.10 Max-Forwards of zero": plain().replace(b"Max-Forwards: 7", b"Max-Forwards: 0"),
    "3.3.14 a URI scheme in From that nobody knows": plain(sender="<nobodyKnowsThisScheme:totallyopaquecontent>;tag=7"),
    "3.3.15 Accept without SDP": plain(more="Accept: text/nobodyKnowsThis"),
    "3.4.1 INVITE of RFC 2543": message(
        "INVITE sip:UserB@example.com SIP/2.0\nVia: SIP/2.0/UDP iftgw.example.com\nFrom: <sip:+13035551111@ift.client.example.net;user=phone>\n"
        "Record-Route: <sip:UserB@example.com;maddr=ss1.example.com>\nTo: sip:+16505552222@ss1.example.net;user=phone\nCall-ID: inv2543.1717@ift.client.example.com\n"
        "CSeq: 56 INVITE\nContent-Type: application/sdp",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", TAKEN)
def test_calls_that_are_taken(name):
    table = Table()
    (trying,) = table.feed(TAKEN[name])
    assert status(trying) == 100
    (final,) = table.answer()
    assert status(final) == 200
    again = read(final)
    assert isinstance(again, Response)
    assert table.feed(TAKEN[name]) == [final]


def test_what_the_tortuous_one_says():
    request = read(SHORT_TORTUOUS)
    assert (request.cseq, request.to_tag, request.from_tag) == ((9, "INVITE"), "1918181833n", "98asjd8")
    assert [via.split(";")[0].replace(" ", "") for via in request.vias] == [
        "SIP/2.0/UDP192.0.2.2",
        "SIP/2.0/TCPspindle.example.com",
        "SIP/2.0/UDP192.168.255.111",
    ]
    assert len(request.body) == 150
    assert (request.via.branch, request.headers.get("subject", "-")) == ("390skdjuw", "")
    assert request.headers.get("newfangledheader") == "newfangled value continued newfangled value"
    assert status(Table().feed(SHORT_TORTUOUS)[0]) == 481


STRANGE = "!interesting-Method0123456789_*+`.%indeed'~"
REFUSED = {
    "3.1.1.2 a method of all characters": (plain(f"{STRANGE} sip:1_unusual.URI~(to-be!sure)@example.com SIP/2.0", f"139122385 {STRANGE}"), 501),
    "3.1.1.4 an escaped null": (plain("REGISTER sip:example.com SIP/2.0", "14398234 REGISTER", to="sip:null-%00-null@example.com"), 405),
    "3.1.1.5 a percent that is no escape": (plain("RE%47IST%45R sip:registrar.example.com SIP/2.0", "29344 RE%47IST%45R"), 501),
    "3.1.2.2 a length beyond the datagram": (plain(more="Content-Length: 9999"), 400),
    "3.1.2.3 a negative length": (plain(more="Content-Length: -999"), 400),
    "3.1.2.4 numbers that are too large": (plain(cseq="36893488147419103232 INVITE"), 400),
    "3.1.2.4 hops that are too many": (plain().replace(b"Max-Forwards: 7", b"Max-Forwards: 300"), 400),
    "3.1.2.6 a quote without its end": (plain(to='"Mr. J. User <sip:j.user@example.com>'), 400),
    "3.1.2.7 brackets around the Request-URI": (plain("INVITE <sip:user@example.com> SIP/2.0"), 400),
    "3.1.2.8 blanks in the Request-URI": (plain("INVITE sip:user@example.com; lr SIP/2.0"), 400),
    "3.1.2.9 two blanks in the request line": (plain("INVITE  sip:user@example.com  SIP/2.0"), 400),
    "3.1.2.10 a blank at its end": (plain("INVITE sip:user@example.com SIP/2.0  "), 400),
    "3.1.2.14 blanks within an address": (plain(to='"Watson, Thomas" < sip:t.watson@example.org >', sender="sip:a b@example.com;tag=1"), 400),
    "3.1.2.16 another version": (plain("INVITE sip:user@example.com SIP/7.0"), 505),
    "3.1.2.17 methods that differ": (plain("OPTIONS sip:user@example.com SIP/2.0"), 400),
    "3.1.2.18 methods that differ and nobody knows": (plain("NEWMETHOD sip:user@example.com SIP/2.0"), 400),
    "3.3.1 From, To and Call-ID missing": (message("INVITE sip:user@example.com SIP/2.0\nCSeq: 193942 INVITE\nVia: SIP/2.0/UDP 192.0.2.95;branch=z9hG4bKkdj"), None),
    "3.3.2 a scheme that nobody knows": (plain("INVITE nobodyKnowsThisScheme:totallyopaquecontent SIP/2.0"), 416),
    "3.3.3 a scheme that is known": (plain("INVITE soap.beep://192.0.2.103:3002 SIP/2.0"), 416),
    "3.3.5 extensions that nobody knows": (plain(more="Require: nothingSupportsThis, nothingSupportsThisEither\nProxy-Require: noProxiesSupportThis"), 420),
    "3.3.8 more than one of what there is one of": (plain(more="CSeq: 5 INVITE\nCall-ID: other\nTo: <sip:x@y>\nFrom: <sip:x@y>;tag=1"), 400),
    "3.3.9 two lengths": (plain(more="Content-Length: 13\nContent-Length: 5") + b"There's no way", 400),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_refused(name):
    data, wanted = REFUSED[name]
    table = Table()
    answers = table.feed(data)
    assert [status(answer) for answer in answers] == ([] if wanted is None else [wanted])
    assert not table.asks
    assert not table.core.dialogs
    if wanted is not None:
        assert field(answers[0], "Call-ID") == "torture.0ha0isndaksdj"
        assert len(fields(answers[0], "To")) == 1
    if wanted == 420:
        assert field(answers[0], "Unsupported") == "nothingsupportsthis, nothingsupportsthiseither"


@pytest.mark.parametrize(
    "change", [("SIP/2.0", "SIP/7.0"), ("Max-Forwards: 7", "Max-Forwards: x"), ("CSeq: 8 ", "CSeq: 9 x")]
)
def test_an_ack_is_never_answered(change):
    data = plain("ACK sip:user@example.com SIP/2.0", "8 ACK").replace(*map(str.encode, change), 1)
    assert Table().feed(data) == []


@pytest.mark.parametrize(
    "start",
    [
        "SIP/2.0 200 = 2**3 * 5**2 \u043d\u043e \u0441\u0442\u043e",  # 3.1.1.12
        "SIP/2.0 100 ",  # 3.1.1.13
        "SIP/2.0 4294967301 better not break the receiver",  # 3.1.2.19
        "SIP/2.0 200 OK",
    ],
)
def test_responses_that_nobody_asked_for_change_nothing(start):
    table = Table()
    table.call()
    via = "Via: SIP/2.0/UDP 255.255.255.255;branch=z9hG4bK1324923"  # 3.3.11
    assert (
        table.feed(plain(start, more=f'{via}\nWarning: 1812 overture "In Progress"\nExpires: 0 0l@company.com')) == []
    )
    assert len(table.core.dialogs) == 1
    assert table.feed(plain(start).replace(b"Via: SIP/2.0/UDP", b"X: y")) == []


def test_the_tortuous_body_reaches_the_application():
    table = Table()
    table.feed(TAKEN["3.1.1.1 short tortuous INVITE, outside of a dialog"])
    assert table.asks[0].request.media_type == "application/sdp"
    assert table.asks[0].request.body.startswith(SDP[:5])
