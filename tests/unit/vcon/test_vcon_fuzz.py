"""Broken documents: nothing but the documented exceptions leaves the room. ``make torture`` looks longer."""

from __future__ import annotations

import json
from contextlib import suppress

import pytest

from vcond.base.errors import ProtocolError
from vcond.testing.changed import changed
from vcond.vcon import Profile, fit, pack, preflight, read, serialize, upgrade, validate
from vcond.vcon.received import NotTakenError, received
from vcond.vcon.sealing.encrypt import decrypt, encrypt
from vcond.vcon.sealing.keys import load_private, load_recipient, load_signer, load_trust
from vcond.vcon.sealing.sign import sign
from vcond.vcon.sealing.verify import open_signed

ROUNDS = 2000
pytestmark = pytest.mark.fuzz
ODD = (
    None, True, False, 0, -1, 1, 2**53, 2**64, 0.5, -1.5, 1e300, "", "x", "2026-11-22T09:00:00Z", "json", "base64url",
    "none", "recording", "recording-set", "transfer", [], [0], [None], [[0]], [-1], ["x"], {}, {"a": 1}, {"type": "text"},
    "0.4.0", "RIFF", "A" * 5, "é", "\x00", "tags", "wtf_transcription", "lawful_basis", "https://a.example",
)  # fmt: skip


def small(data):
    """Golden documents with short bodies: what is looked at is the structure."""
    found = []
    for file in sorted(data.glob("*.vcon.json")):
        document = read(file.read_bytes())
        for dialog in document["dialog"]:
            if "body" in dialog:
                dialog["body"] = dialog["body"][:400]
        found.append(document)
    return found


def test_no_document_breaks_the_room(data, fuzz):
    documents = small(data)
    for rng in fuzz.rounds(ROUNDS):
        document = changed(rng.choice(documents), rng, ODD)
        validate(document)
        fitted = fit(document, Profile.CONSERVER) if not {"payload", "ciphertext"} & document.keys() else document
        left = {finding.path for finding in preflight(fitted)}
        assert left <= {"$.uuid", "$.created_at"}
        fit(document, Profile.CORE_04)
        with suppress(ProtocolError):
            again = upgrade(document)
            assert upgrade(again) == again
            validate(again)


def test_no_document_that_is_brought_breaks_the_room(data, fuzz):
    documents = small(data)
    for rng in fuzz.rounds(ROUNDS):
        document = changed(rng.choice(documents), rng, ODD)
        with suppress(NotTakenError):
            taken = received(json.dumps(document).encode())
            assert taken.uuid == document["uuid"]


def test_no_bytes_break_the_room(data, fuzz):
    texts = [serialize(document) for document in small(data)]
    texts += [pack(document) for document in small(data)]
    for rng in fuzz.rounds(ROUNDS):
        raw = bytearray(rng.choice(texts))
        for _ in range(rng.randint(1, 6)):
            at = rng.randrange(len(raw))
            change = rng.randrange(3)
            if change == 0:
                raw[at] = rng.randrange(256)
            elif change == 1:
                del raw[at : at + rng.randint(1, 40)]
            else:
                raw[at:at] = bytes(
                    rng.choice((b"{", b"[", b'"', b"}", b"]", b",", b"null", b"\x00", b"1e9", b"\\u0000"))
                )
            if not raw:
                break
        with suppress(NotTakenError):
            received(bytes(raw))
        with suppress(ProtocolError):
            document = read(bytes(raw), 1 << 20)
            validate(document)
            serialize(document)


def test_no_seal_breaks_the_room_and_none_opens_on_another_payload(data, pki, at, fuzz):
    body = serialize(read((data / "busy.vcon.json").read_bytes()))
    trust, key = load_trust(pki.root.pem), load_private(pki.receiver.key_pem)
    signed = sign(body, load_signer(pki.leaf.key_pem, pki.chain), at)
    sealed = encrypt(signed, [load_recipient(pki.receiver.pem)])
    for rng in fuzz.rounds(ROUNDS):
        with suppress(ProtocolError):
            other = changed(signed, rng, ODD)
            validate(other)
            assert open_signed(other, trust, at).payload == body
        with suppress(ProtocolError):
            other = changed(sealed, rng, ODD)
            validate(other)
            assert decrypt(other, key) == signed
