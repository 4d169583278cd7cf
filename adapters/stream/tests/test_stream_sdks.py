"""Signatures, judged both ways by the platforms' own libraries, which ``tools/setup.sh test`` installs beside us.

Theirs: what their library signs, we take, and with another key, URL or body we do not. Ours: what our functions make, their
library takes, and refuses the same changes.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
import subprocess
import time
from pathlib import Path
from urllib.parse import urlencode
from xml.etree import ElementTree as ET

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from joserfc import jwt
from joserfc.jwk import OctKey

from vcond.sdk.media_stream import candidates, names_body, twilio_signed, with_form
from vcond.sdk.media_stream.signatures import url_signature
from vcond.testing.needs import needs
from vcond_stream.trust import VOUCH, Asked
from vcond_stream.webhooks import VERIFY, Posted

OURS = Path(__file__).parents[3] / ".peers" / "sdks"
SDKS = os.environ.get("VCOND_SDKS", "") or (str(OURS / "bin" / "python") if (OURS / ".ready").exists() else "")
KEY, OTHER = "12345678901234567890123456789012", "another-key-than-that-of-platform"
NOW = 1_795_944_290.0
TARGET = "/stream/x?b=2&a=1"
FORM = [("k", "z"), ("k", "y"), ("k", "z"), ("B", "1"), ("empty", ""), ("ü", "é")]

PROGRAM = """
import importlib.util, json, logging, sys
logging.disable(logging.CRITICAL)
import jwt, nacl.signing, telnyx, vonage_jwt
from livekit import api as livekit
from multidict import MultiDict
from plivo import plivoxml
from plivo.utils import signature_v3 as plivo
from twilio.request_validator import RequestValidator, get_signature_algorithm
from twilio.twiml.voice_response import VoiceResponse
from vobiz.utils import signature_v3 as vobiz

place = importlib.util.find_spec("signalwire").submodule_search_locations[0]  # the package would import all of itself
file = importlib.util.spec_from_file_location("signalwire_validator", place + "/core/security/webhook_validator.py")
signalwire = importlib.util.module_from_spec(file)
file.loader.exec_module(signalwire)

def run(what, *given):
    match what:
        case "twilio signs":
            key, url, form, settings = given
            return RequestValidator(key).compute_signature(url, MultiDict(form), get_signature_algorithm(settings))
        case "twilio takes":
            key, url, form, signature, settings = given
            form = MultiDict(form) if isinstance(form, list) else form
            return RequestValidator(key).validate(url, form, signature, algorithm=get_signature_algorithm(settings))
        case "plivo signs" | "vobiz signs":
            key, url, nonce = given
            of = plivo if what.startswith("plivo") else vobiz
            return of.get_signature_v3(key, of.construct_get_url(url, {}), nonce).decode()
        case "plivo takes" | "vobiz takes":
            key, url, nonce, signature = given
            of = plivo if what.startswith("plivo") else vobiz
            return of.validate_v3_signature("GET", url, nonce, key, signature)
        case "plivo writes":
            return plivoxml.ResponseElement().add(plivoxml.StreamElement(given[0], **given[1])).to_string()
        case "twilio writes":
            made = VoiceResponse()
            made.start().stream(**given[0])
            return str(made)
        case "telnyx signs":
            seed, signed = given
            return nacl.signing.SigningKey(bytes.fromhex(seed)).sign(signed.encode()).signature.hex()
        case "telnyx takes":
            key, body, headers = given
            try:
                return telnyx.Telnyx(api_key="x").webhooks.unwrap(body, headers=headers, key=key).data.event_type
            except ValueError:
                return None
        case "vonage signs":
            claims, key = given
            return jwt.encode(claims, key, algorithm="HS256")
        case "vonage takes":
            try:
                return vonage_jwt.verify_signature(*given)
            except vonage_jwt.VonageVerifyJwtError:
                return None
        case "livekit signs":
            key, secret, digest = given
            return livekit.AccessToken(key, secret).with_sha256(digest).to_jwt()
        case "livekit takes":
            key, secret, body, token = given
            try:
                return livekit.WebhookReceiver(livekit.TokenVerifier(key, secret)).receive(body, token).event
            except Exception:
                return None
        case "plivo posts" | "vobiz posts":
            key, url, form, nonce = given
            of = plivo if what.startswith("plivo") else vobiz
            return of.get_signature_v3(key, of.construct_post_url(url, form), nonce).decode()
        case "plivo takes post" | "vobiz takes post":
            key, url, form, nonce, signature = given
            of = plivo if what.startswith("plivo") else vobiz
            return of.validate_v3_signature("POST", url, nonce, key, signature, form)
        case "signalwire takes":
            return signalwire.validate_webhook_signature(*given)
        case "signalwire takes sha256":
            return signalwire.validate_webhook_signature_sha256(*given)

for line in sys.stdin:
    print(json.dumps([run(*case) for case in json.loads(line)]), flush=True)
"""


@pytest.fixture(scope="module")
def ask():
    """Asks their libraries; returns what they answer to each case."""
    needs(SDKS, "the platforms' libraries are not installed in .peers/sdks: tools/setup.sh test")
    with subprocess.Popen(
        [SDKS, "-W", "ignore", "-c", PROGRAM], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as libraries:

        def ask(*cases):
            libraries.stdin.write(msgspec.json.encode(cases).decode() + "\n")
            libraries.stdin.flush()
            return msgspec.json.decode(libraries.stdout.readline())

        yield ask
        libraries.stdin.close()


def vouched(dialect, headers, *, base="https://edge.example.com", target=TARGET, key=KEY):
    return VOUCH[dialect](Asked(base, target, headers, NOW, {}), key)


HOOK = "/stream/x/status"
EVENT = '{"data": {"event_type": "call.hangup", "payload": {"call_control_id": "v3:1", "hangup_cause": "user_busy"}}}'
SEED = "1f" * 32
PUBLIC = Ed25519PrivateKey.from_private_bytes(bytes.fromhex(SEED)).public_key().public_bytes_raw()


def posted(dialect, body, headers, *, target=HOOK, key=KEY, now=None):
    asked = Asked("https://edge.example.com", target, headers, time.time() if now is None else now, {})
    return VERIFY[dialect](Posted(asked, body.encode()), key)


BASES = [
    "https://edge.example.com",
    "https://edge.example.com:443",
    "wss://edge.example.com:8443/behind",
    "https://[2001:db8::1]",
]
SETTINGS = ["", "key=webhooks_sharedkey_1,algorithm=HMAC_SHA256"]


@pytest.mark.parametrize("settings", SETTINGS)
def test_what_twilios_library_signs_of_a_handshake_is_taken(ask, settings):
    urls = [(base, url) for base in BASES for url in candidates(base, TARGET)]
    made = ask(*[("twilio signs", KEY, url, [], settings) for _, url in urls])
    for (base, url), signature in zip(urls, made, strict=True):
        headers = {"x-twilio-signature": signature, "x-twilio-webhooks-signature-settings": settings}
        assert vouched("twilio", headers, base=base), url
        assert not vouched("twilio", headers, base=base, key=OTHER)
        assert not vouched("twilio", headers, base=base, target="/stream/x?a=1&b=2")
        assert not vouched("twilio", headers, base="https://other.example.com")
        other = {**headers, "x-twilio-webhooks-signature-settings": SETTINGS[not SETTINGS.index(settings)]}
        assert not vouched("twilio", other, base=base)


def test_what_we_sign_of_a_handshake_twilios_library_takes(ask):
    """C1: it drops any port, adds :80 to wss and :443 to https only. We take :443 of wss too, which it does not add."""
    bare, port = f"wss://edge.example.com{TARGET}", f"wss://edge.example.com:443{TARGET}"
    asked = [(bare, bare), (port, bare), (port, port), (bare, port)]
    for algorithm, settings in zip(("sha1", "sha256"), SETTINGS, strict=True):
        cases = [("twilio takes", KEY, url, [], url_signature(KEY, of, algorithm), settings) for url, of in asked]
        assert ask(*cases) == [True, True, True, False]
        refused = [
            ("twilio takes", OTHER, bare, [], url_signature(KEY, bare, algorithm), settings),
            ("twilio takes", KEY, f"{bare}x", [], url_signature(KEY, bare, algorithm), settings),
            ("twilio takes", KEY, bare, [], url_signature(KEY, bare, algorithm)[:-2] + "A=", settings),
        ]
        assert ask(*refused) == [False] * 3


@pytest.mark.parametrize("form", [FORM, FORM[:1], [], list(reversed(FORM))])
def test_forms_are_signed_as_twilios_library_does(ask, form):
    """C2: names in order, each value of a name once, in order."""
    url = "https://edge.example.com/twilio/stream/status"
    (theirs,) = ask(("twilio signs", KEY, url, form, ""))
    changed = [*form, ("CallStatus", "failed")]
    assert twilio_signed(theirs, "", [OTHER, KEY], [with_form(url, form)])
    assert not twilio_signed(theirs, "", [OTHER], [with_form(url, form)])
    assert not twilio_signed(theirs, "", [KEY], [with_form(url, changed)])
    ours = url_signature(KEY, with_form(url, form))
    cases = [("twilio takes", KEY, url, form, ours, ""), ("twilio takes", OTHER, url, form, ours, "")]
    assert ask(*cases, ("twilio takes", KEY, url, changed, ours, "")) == [True, False, False]


@pytest.mark.parametrize("form", ["hex", "HEX", "missing", "other body"])
def test_bodies_that_are_no_form_are_bound_as_twilios_library_does(ask, form):
    """C3: lower-case hex of the raw body, in the signed URL."""
    body = '{"CallSid": "CA1", "CallStatus": "busy"}'
    digest = hashlib.sha256((body if form != "other body" else body + " ").encode()).hexdigest()
    query = {"hex": f"?bodySHA256={digest}", "HEX": f"?bodySHA256={digest.upper()}", "missing": "?x=1"}
    target = "/status" + query.get(form, f"?bodySHA256={digest}")
    url = f"https://edge.example.com{target}"
    if form != "missing":  # their library raises then
        assert ask(("twilio takes", KEY, url, body, url_signature(KEY, url), "")) == [form == "hex"]
    assert names_body(target, body.encode()) is (form == "hex")


@pytest.mark.parametrize("dialect", ["plivo", "vobiz"])
@pytest.mark.parametrize("target", ["/stream/x", "/stream/x?b=2&a=1", "/stream/x?a=%20c&a=%2Bb&k="])
def test_what_plivos_library_signs_is_taken_and_the_other_way_round(ask, dialect, target):
    """C4, C5. It checks http and https only; of which URL streams are signed is not documented."""
    header = f"x-{dialect}-signature-v3"
    base = "https://edge.example.com"
    signs = [f"{base}{target}", f"{base}:443{target}", f"http://edge.example.com{target}"]
    if "?" not in target:
        signs.append(f"http://edge.example.com{target}/websocket")
    made = ask(*[(f"{dialect} signs", KEY, url, "n1") for url in signs])
    for url, signature in zip(signs, made, strict=True):
        headers = {header: signature, f"{header}-nonce": "n1"}
        assert vouched(dialect, headers, target=target), url
        assert vouched(dialect, {**headers, header: f"AAAA,{signature}"}, target=target)
        assert not vouched(dialect, headers, target=target, key=OTHER)
        assert not vouched(dialect, headers, target=f"{target}x")
        assert not vouched(dialect, {**headers, f"{header}-nonce": "n2"}, target=target)
    url, signature = signs[0], made[0]
    cases = [(KEY, url, "n1", signature), (OTHER, url, "n1", signature), (KEY, f"{url}x", "n1", signature)]
    assert ask(*[(f"{dialect} takes", *case) for case in cases]) == [True, False, False]


def test_what_we_take_for_signalwires_signature_its_library_takes_too(ask):
    """C8: base64 or hex of HMAC-SHA1, hex of HMAC-SHA256 in a header of its own; of a handshake, which has no body."""
    url = f"wss://edge.example.com{TARGET}"
    hex1, hex256 = (hmac.digest(KEY.encode(), url.encode(), name).hex() for name in ("sha1", "sha256"))
    plain = url_signature(KEY, url)
    for made in (plain, hex1):
        assert vouched("signalwire", {"x-signalwire-signature": made})
        cases = [(KEY, made, url, ""), (OTHER, made, url, ""), (KEY, made, f"{url}x", "")]
        assert ask(*[("signalwire takes", *case) for case in cases]) == [True, False, False]
        assert not vouched("signalwire", {"x-signalwire-signature": made}, key=OTHER)
        assert not vouched("signalwire", {"x-signalwire-signature": made}, target=f"{TARGET}x")
    # a base64 signature of the URL alone it takes with any form beside it; a hex one is of the body
    assert ask(("signalwire takes", KEY, plain, url, "k=v"), ("signalwire takes", KEY, hex1, url, "k=v")) == [
        True,
        False,
    ]
    assert vouched("signalwire", {"x-signalwire-sha256-signature": hex256})
    cases = [(KEY, hex256, url, ""), (OTHER, hex256, url, ""), (KEY, hex256, url, "body")]
    assert ask(*[("signalwire takes sha256", *case) for case in cases]) == [True, False, False]
    (twilio,) = ask(("twilio signs", KEY, url, [], ""))
    assert vouched("signalwire", {"x-twilio-signature": twilio})


def b64(data):
    return base64.b64encode(data).decode()


def test_webhooks_of_telnyx_are_signed_as_its_library_takes_them_and_the_other_way_round(ask):
    """C6: Ed25519 over timestamp and body; 300 s both ways."""
    now, public = int(time.time()), b64(PUBLIC)
    (theirs,) = ask(("telnyx signs", SEED, f"{now}|{EVENT}"))
    headers = {"telnyx-timestamp": str(now), "telnyx-signature-ed25519": b64(bytes.fromhex(theirs))}
    assert posted("telnyx", EVENT, headers, key=public)
    assert posted("telnyx", EVENT, headers, key=public, now=now + 299)
    for late in (-301, 301):
        assert not posted("telnyx", EVENT, headers, key=public, now=now + late)
    assert not posted("telnyx", EVENT + " ", headers, key=public)
    assert not posted("telnyx", EVENT, headers | {"telnyx-timestamp": str(now + 1)}, key=public)
    assert not posted("telnyx", EVENT, headers | {"telnyx-timestamp": f"{now}.0"}, key=public)
    assert not posted("telnyx", EVENT, headers, key=b64(b"\x01" * 32))

    def ours(at, body=EVENT):
        signed = Ed25519PrivateKey.from_private_bytes(bytes.fromhex(SEED)).sign(f"{at}|{body}".encode())
        return {"telnyx-timestamp": str(at), "telnyx-signature-ed25519": b64(signed)}

    cases = [(public, EVENT, ours(now)), (public, EVENT, ours(now - 400)), (public, EVENT + " ", ours(now)),
        (b64(b"\x01" * 32), EVENT, ours(now))]  # fmt: skip
    assert ask(*[("telnyx takes", *case) for case in cases]) == ["call.hangup", None, None, None]
    assert not posted("telnyx", EVENT, ours(now - 400), key=public)


def test_webhooks_of_vonage_are_signed_as_its_library_takes_them_and_the_other_way_round(ask):
    """C7: HS256; its library looks at nothing beyond the registered claims: the body and its age are for us."""
    now = int(time.time())
    digest = hashlib.sha256(EVENT.encode()).hexdigest()
    claims = {"iat": now, "iss": "Vonage", "payload_hash": digest, "api_key": "a1", "jti": "1"}
    wrong = [
        {"iat": now - 301}, {"iat": now + 100}, {"payload_hash": digest.upper()}, {"payload_hash": ""}, {"exp": now - 1},
        {"nbf": now + 100}, {"aud": "x"}, {"iat": "x"}, {"exp": None},
    ]  # fmt: skip
    tokens = ask(*[("vonage signs", claims | more, KEY) for more in ({}, *wrong, {"iat": now + 30})])
    good = {"authorization": f"Bearer {tokens[0]}"}
    assert posted("vonage", EVENT, good)
    assert posted("vonage", EVENT, {"authorization": f"Bearer {tokens.pop()}"}), "its clock is ahead of ours"
    assert not posted("vonage", EVENT, good, key=OTHER)
    assert not posted("vonage", EVENT + " ", good)
    assert not posted("vonage", EVENT, {"authorization": tokens[0]})
    for token, more in zip(tokens[1:], wrong, strict=True):
        assert not posted("vonage", EVENT, {"authorization": f"Bearer {token}"}), more
    ours = jwt.encode({"alg": "HS256"}, claims, OctKey.import_key(KEY))
    assert posted("vonage", EVENT, {"authorization": f"Bearer {ours}"})
    none = jwt.encode({"alg": "HS512"}, claims, OctKey.import_key(KEY), algorithms=["HS512"])
    assert not posted("vonage", EVENT, {"authorization": f"Bearer {none}"})
    old = jwt.encode({"alg": "HS256"}, claims | {"exp": now - 1}, OctKey.import_key(KEY))
    assert ask(("vonage takes", ours, KEY), ("vonage takes", ours, OTHER), ("vonage takes", old, KEY)) == [
        True,
        False,
        None,
    ]


def test_webhooks_of_livekit_are_signed_as_its_library_takes_them_and_the_other_way_round(ask):
    """C11: HS256 with the standard base64 of the body's SHA-256; exp must be there."""
    body, now = '{"event": "room_finished", "room": {"name": "room-1"}}', int(time.time())
    digest, secret = b64(hashlib.sha256(body.encode()).digest()), f"APIkey:{KEY}"
    token, raw = ask(("livekit signs", "APIkey", KEY, digest), ("livekit signs", "APIkey", KEY, digest.rstrip("=")))
    assert posted("livekit", body, {"authorization": token}, key=secret)
    assert not posted("livekit", body, {"authorization": raw}, key=secret)
    for changed in (
        {"key": f"APIkey:{OTHER}"},
        {"key": f"other:{KEY}"},
        {"now": now + 30 * 86_400},
        {"now": now - 3600},
    ):
        assert not posted("livekit", body, {"authorization": token}, **{"key": secret, **changed}), changed
    assert not posted("livekit", body + " ", {"authorization": token}, key=secret)
    assert not posted("livekit", body, {"authorization": f"Bearer {token}"}, key=secret)
    claims = {"iss": "APIkey", "sha256": digest, "nbf": now, "exp": now + 60}
    ours, old, forever = [
        jwt.encode({"alg": "HS256"}, of, OctKey.import_key(KEY))
        for of in (claims, claims | {"exp": now - 120}, {name: claims[name] for name in ("iss", "sha256")})
    ]
    for one in (old, forever):
        assert not posted("livekit", body, {"authorization": one}, key=secret)
    cases = [
        ("APIkey", KEY, body, ours),
        ("APIkey", OTHER, body, ours),
        ("APIkey", KEY, body + " ", ours),
        ("APIkey", KEY, body, old),
    ]
    assert ask(*[("livekit takes", *case) for case in cases]) == ["room_finished", None, None, None]
    assert posted("livekit", body, {"authorization": ours}, key=secret)


@pytest.mark.parametrize("dialect", ["plivo", "vobiz"])
@pytest.mark.parametrize("target", [HOOK, f"{HOOK}?z=9&y=8", f"{HOOK}?b=%20c"])
@pytest.mark.parametrize("form", [{"b": "2", "a": "1"}, {"CallStatus": "busy", "a": "x y+z&"}, {}])
def test_webhooks_of_plivo_are_signed_as_its_library_takes_them_and_the_other_way_round(ask, dialect, target, form):
    """C4."""
    url, header = f"https://edge.example.com{target}", f"x-{dialect}-signature-v3"
    (theirs,) = ask((f"{dialect} posts", KEY, url, form, "n1"))
    headers, body = {header: f"AAAA,{theirs}", f"{header}-nonce": "n1"}, urlencode(form)
    assert posted(dialect, body, headers, target=target)
    assert not posted(dialect, body, headers, target=target, key=OTHER)
    assert not posted(dialect, f"{body}&c=3" if body else "c=3", headers, target=target)
    assert not posted(dialect, body, headers, target=f"{target}x")
    assert not posted(dialect, body, headers | {f"{header}-nonce": "n2"}, target=target)
    assert not posted(dialect, body, headers | {f"{header}-nonce": ""}, target=target)
    cases = [(KEY, url, form, "n1", theirs), (KEY, url, form | {"c": "3"}, "n1", theirs)]
    assert ask(*[(f"{dialect} takes post", *case) for case in cases]) == [True, False]


def test_webhooks_of_signalwire_that_we_take_its_library_takes_too(ask):
    """C8: hex over URL and body, or base64 over URL and form, whose values count as often as they come. A body that nothing binds we refuse."""
    url, body = f"https://edge.example.com{HOOK}", "k=z&k=y&k=z&B=1&CallStatus=busy"
    form = "B1CallStatusbusykzkykz"
    hex1, hex256 = (hmac.digest(KEY.encode(), (url + body).encode(), name).hex() for name in ("sha1", "sha256"))
    plain = url_signature(KEY, url + form)
    for made in (plain, hex1):
        assert posted("signalwire", body, {"x-signalwire-signature": made})
        assert not posted("signalwire", body, {"x-signalwire-signature": made}, key=OTHER)
        assert not posted("signalwire", f"{body}&c=1", {"x-signalwire-signature": made})
        assert not posted("signalwire", body, {"x-signalwire-signature": made}, target=f"{HOOK}x")
        cases = [(KEY, made, url, body), (OTHER, made, url, body), (KEY, made, url, f"{body}&c=1")]
        assert ask(*[("signalwire takes", *case) for case in cases]) == [True, False, False]
    assert posted("signalwire", body, {"x-signalwire-sha256-signature": hex256})
    assert not posted("signalwire", f"{body}x", {"x-signalwire-sha256-signature": hex256})
    assert ask(("signalwire takes sha256", KEY, hex256, url, body)) == [True]
    assert not posted("signalwire", body, {"x-signalwire-signature": url_signature(KEY, url)})
    assert not posted("signalwire", "{}", {"x-signalwire-signature": url_signature(KEY, url)})
    bound = f"{HOOK}?bodySHA256={hashlib.sha256(b'{}').hexdigest()}"
    made = url_signature(KEY, f"https://edge.example.com{bound}")
    assert posted("signalwire", "{}", {"x-signalwire-signature": made}, target=bound)
    assert not posted("signalwire", "{ }", {"x-signalwire-signature": made}, target=bound)
    assert ask(("signalwire takes", KEY, made, f"https://edge.example.com{bound}", "{}")) == [True]


def stream_of(text):
    """The ``Stream`` element of an XML document: attributes and text."""
    stream = next(ET.fromstring(text).iter("Stream"))
    return stream.attrib, (stream.text or "").strip()


@pytest.mark.parametrize("name", ["Plivo", "Twilio's look-alikes"])
def test_what_stands_in_platforms_md_is_what_their_library_writes(ask, name):
    page = (Path(__file__).parents[1] / "PLATFORMS.md").read_text()
    snippet = page.partition(f"\n## {name}\n")[2].partition("```xml\n")[2].partition("```")[0]
    attributes, url = stream_of(snippet)
    if name == "Plivo":
        given = {**attributes, "bidirectional": attributes["bidirectional"] == "true"}
        (made,) = ask(("plivo writes", url, given))
    else:
        (made,) = ask(("twilio writes", attributes))
    assert stream_of(made) == (attributes, url)
