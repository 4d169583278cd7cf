"""Header fields: lists, URIs, addresses, Via, CSeq."""

import pytest

from vcond.base.errors import ProtocolError
from vcond.sip.fields import MAX_PARTS, Address, CSeq, Uri, Via, split


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("a, b ,c", ["a", "b", "c"]),
        ("", [""]),
        ('"a, b" <sip:x>, c', ['"a, b" <sip:x>', "c"]),
        ("<sip:x?a=1,2>,<sip:y>", ["<sip:x?a=1,2>", "<sip:y>"]),
        (r'"a \" , b", c', [r'"a \" , b"', "c"]),
        (r'"a\\", c', [r'"a\\"', "c"]),
        ("a,,b", ["a", "", "b"]),
    ],
)
def test_a_list_is_cut_at_commas_outside_quotes_and_brackets(text, parts):
    assert split(text, ",") == parts


def test_lists_and_quotes_are_bounded():
    with pytest.raises(ProtocolError):
        split("," * MAX_PARTS, ",")
    with pytest.raises(ProtocolError):
        split('"Mr. J. User <sip:j@example.com>', ",")


@pytest.mark.parametrize(
    ("text", "uri"),
    [
        ("sip:127.0.0.1:25080", Uri("sip", "", "127.0.0.1", 25080)),
        ("SIP:a@Example.com;transport=tcp;lr", Uri("sip", "a", "Example.com", None, ";transport=tcp;lr")),
        ("sip:u;par=u%40example.net@example.com", Uri("sip", "u;par=u%40example.net", "example.com")),
        ("sips:[2001:db8::1]:5061?Route=x", Uri("sips", "", "2001:db8::1", 5061, "", "Route=x")),
        ("tel:+1-555-0100;phone-context=x", Uri("tel", "+1-555-0100", params=";phone-context=x")),
        ("nobodyKnowsThisScheme:totallyopaquecontent", Uri("nobodyknowsthisscheme", "totallyopaquecontent")),
    ],
)
def test_uris(text, uri):
    assert Uri.parse(text) == uri


@pytest.mark.parametrize(
    "text",
    [
        "",
        "sip:",
        "alice",
        "sip:a@",
        "sip:a@h:0",
        "sip:a@h:99999",
        "sip:a@[::1",
        "sip:a@[x]",
        "sip:a b@h",
        "sip:h:٣",
        "1:x",
    ],
)
def test_what_is_no_uri(text):
    with pytest.raises(ProtocolError):
        Uri.parse(text)


def test_parameters_of_a_uri():
    uri = Uri.parse("sip:a@h;Transport=TCP;lr")
    assert (uri.param("transport"), uri.param("lr"), uri.param("maddr")) == ("TCP", "", None)


@pytest.mark.parametrize(
    ("text", "name", "uri", "tag"),
    [
        (
            '"J Rosenberg \\\\\\"" <sip:j@example.com> ; tag = 98asjd8',
            'J Rosenberg \\"',
            "sip:j@example.com",
            "98asjd8",
        ),
        (
            "sip:vivekg@chair-dnrc.example.com ; tag    = 1918181833n",
            "",
            "sip:vivekg@chair-dnrc.example.com",
            "1918181833n",
        ),
        ("Alice Smith <sip:src@127.0.0.1>;tag=zz1", "Alice Smith", "sip:src@127.0.0.1", "zz1"),
        ("caller<sip:caller@example.com>;tag=323", "caller", "sip:caller@example.com", "323"),
        ("<sip:127.0.0.1:25060>;+sip.src", "", "sip:127.0.0.1:25060", ""),
        ("<<sip:127.0.0.1:25060>;+sip.src", "", "sip:127.0.0.1:25060", ""),
        ("<sip:ASBCE@192.0.2.1;+sip.src>", "", "sip:ASBCE@192.0.2.1;+sip.src", ""),
        ('"a<b>;tag=no" <sip:x@y>;tag=yes', "a<b>;tag=no", "sip:x@y", "yes"),
    ],
)
def test_addresses(text, name, uri, tag):
    address = Address.parse(text)
    assert (address.name, address.uri, address.tag) == (name, uri, tag)


@pytest.mark.parametrize("text", ["", "<>", ";tag=1", "Bell, Alexander <sip:x", "sip:a@b c", '"x" sip:a@b>'])
def test_what_is_no_address(text):
    with pytest.raises(ProtocolError):
        Address.parse(text)


@pytest.mark.parametrize(
    ("text", "transport", "where", "branch"),
    [
        (
            "SIP/2.0/UDP 127.0.0.1:25060;branch=z9hG4bK4ba3.9da29086.0",
            "UDP",
            ("127.0.0.1", 25060),
            "z9hG4bK4ba3.9da29086.0",
        ),
        ("SIP  / 2.0\t/ UDP  192.0.2.2 ;branch = 390skdjuw", "UDP", ("192.0.2.2", None), "390skdjuw"),
        ("SIP / 2.0 / TCP spindle.example.com ; branch = z9hG4bK9ikj8 , ", "TCP", None, "z9hG4bK9ikj8 ,"),
        ("SIP/2.0/tls sbc.invalid:5061;branch=z9hG4bK%2Fx;rport", "TLS", ("sbc.invalid", 5061), "z9hG4bK%2Fx"),
        ("SIP/2.0/UDP [2001:db8::9]:5060 ; rport;branch=b", "UDP", ("2001:db8::9", 5060), "b"),
        ("SIP/2.0/UNKNOWN t5.example.com;branch=b", "UNKNOWN", ("t5.example.com", None), "b"),
    ],
)
def test_vias(text, transport, where, branch):
    via = Via.parse(text)
    assert (via.transport, via.branch) == (transport, branch)
    assert where in {None, (via.host, via.port)}


@pytest.mark.parametrize(
    "text", ["", "SIP/2.0/UDP", "SIP/3.0/UDP h", "HTTP/1.1 h", "SIP/2.0/UDP h:x", "SIP/2.0/UDP ;b=1"]
)
def test_what_is_no_via(text):
    with pytest.raises(ProtocolError):
        Via.parse(text)


def test_cseq():
    assert CSeq.parse(" 0009 \t INVITE") == (9, "INVITE")
    for text in (
        "",
        "INVITE",
        "1",
        "-1 INVITE",
        "2147483648 INVITE",
        "36893488147419103232 REGISTER",
        "1 IN VITE",
        "٣ BYE",
    ):
        with pytest.raises(ProtocolError):
            CSeq.parse(text)
