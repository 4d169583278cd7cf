from __future__ import annotations

import base64
import hmac
import json

import pytest

from vcond.sdk.contract import ProtocolError, RefusedError
from vcond_webrtc.claims import Claims, from_token, from_words

SECRET = "a secret of the tests that has 32 bytes and more"
NOW = 1_700_000_000.0


def b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def token(payload=None, header=None, secret=SECRET) -> str:
    payload = {"exp": NOW + 60, "call": "c1"} | (payload or {})
    text = f"{b64(json.dumps(header or {'alg': 'HS256'}).encode())}.{b64(json.dumps(payload).encode())}"
    return f"{text}.{b64(hmac.digest(secret.encode(), text.encode(), 'sha256'))}"


def test_words_of_a_query_become_claims():
    words = {"call": "harbor-1", "party": "p@1", "name": "Zoë O'Hara", "role": "agent", "tel": "+15550100", "x": "y"}
    claims = from_words(words)
    assert claims == Claims("harbor-1", "p@1", "Zoë O'Hara", "agent", "+15550100")
    assert (claims.who.name, claims.who.validation, claims.who.role) == ("Zoë O'Hara", "none", "agent")
    assert from_words({"call": ""}) == Claims()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("call", "a b"), ("call", "x" * 129), ("call", "a/../b"), ("call", "a\n"), ("party", "é"),
        ("name", "a\x00b"), ("name", "x" * 129), ("name", "a\u202eb"),
        ("role", "boss"), ("tel", "555-0100"), ("tel", "+" + "1" * 33), ("tel", "١٢٣"), ("call", 5), ("name", ["a"]),
    ],
)  # fmt: skip
def test_what_is_not_in_its_form_is_named_and_not_repeated(name, value):
    with pytest.raises(ProtocolError, match=f"^{name} has the wrong form$"):
        from_words({name: value})


def test_a_signed_token_says_who_publishes():
    given = token({"name": "Ann", "role": "customer", "sub": "ann-1", "iat": 1, "aud": "x"})
    assert from_token(given, SECRET, now=NOW) == Claims("c1", "ann-1", "Ann", "customer")
    assert from_token(token({"sub": "a", "party": "b"}), SECRET, now=NOW).party == "b"


@pytest.mark.parametrize(
    ("given", "why"),
    [
        (token(secret="another secret that has 32 bytes and more"), "not signed"),
        (token()[:-1] + "!", "not a token"),
        (token().rpartition(".")[0] + ".", "not signed"),
        (token(header={"alg": "none"}), "not HS256"),
        (token(header={"alg": "RS256"}), "not HS256"),
        (token({"exp": NOW}), "expired"),
        (token({"nbf": NOW + 1}), "not valid yet"),
        (token({"exp": "tomorrow"}), "no exp"),
        (token({"exp": None}), "no exp"),
        (token({"call": ""}), "has no call"),
        (token({"call": "a b"}), "call has the wrong form"),
        ("", "not a token"),
        ("a.b", "not a token"),
        ("a.b.c.d", "not a token"),
        ("ü.b.c", "not a token"),
        ("x" * 5000, "not a token"),
        (".." , "not signed"),
    ],
)  # fmt: skip
def test_other_tokens_are_refused(given, why):
    with pytest.raises(RefusedError, match=why):
        from_token(given, SECRET, now=NOW)


def test_a_signed_token_that_is_no_object_is_refused():
    text = f"{b64(b'{}')}.{b64(b'[]')}"
    with pytest.raises(RefusedError):
        from_token(f"{text}.{b64(hmac.digest(SECRET.encode(), text.encode(), 'sha256'))}", SECRET, now=NOW)
    deep = f"{b64(b'[' * 2000)}.{b64(b'{}')}"
    with pytest.raises(RefusedError):
        from_token(f"{deep}.{b64(hmac.digest(SECRET.encode(), deep.encode(), 'sha256'))}", SECRET, now=NOW)
