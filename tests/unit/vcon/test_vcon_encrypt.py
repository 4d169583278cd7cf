from __future__ import annotations

import base64
import copy
import random

import msgspec
import pytest
from cryptography.hazmat.primitives import serialization
from joserfc import jwe, jwk
from jwcrypto.jwe import JWE
from jwcrypto.jwk import JWK

from vcond.base.errors import ConfigError, ProtocolError
from vcond.vcon import read, serialize, validate
from vcond.vcon.sealing.encrypt import MOST_RECIPIENTS, decrypt, encrypt
from vcond.vcon.sealing.keys import load_private, load_recipient, load_signer, load_trust
from vcond.vcon.sealing.sign import sign
from vcond.vcon.sealing.verify import SealBrokenError, decoded, open_signed


@pytest.fixture(scope="module")
def body(data) -> bytes:
    return serialize(read((data / "busy.vcon.json").read_bytes()))


@pytest.fixture(scope="module")
def signed(pki, body, at):
    return sign(body, load_signer(pki.leaf.key_pem, pki.chain), at)


@pytest.fixture(scope="module")
def keys(pki):
    """Public keys of two recipients, and their private ones."""
    pair = (pki.receiver, pki.second)
    return [load_recipient(one.pem) for one in pair], [load_private(one.key_pem) for one in pair]


def b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def reason(document, key) -> str:
    with pytest.raises(SealBrokenError) as caught:
        decrypt(document, key)
    return caught.value.reason


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("count", [1, 2])
def test_every_recipient_reads_what_was_signed(signed, keys, body, pki, at, packed, count):
    public, private = keys
    document = read(serialize(encrypt(signed, public[:count], packed=packed)))
    assert validate(document) == []
    assert list(document) == ["protected", "unprotected", "recipients", "iv", "ciphertext", "tag"]
    assert len(document["recipients"]) == count
    assert decoded(document["protected"]) == b'{"enc":"A256CBC-HS512"}'
    assert document["unprotected"] == {
        "cty": "application/vcon+gzip" if packed else "application/vcon", "uuid": read(body)["uuid"],
    }  # fmt: skip
    for key in private[:count]:
        inner = decrypt(document, key)
        assert inner == signed
        assert open_signed(inner, load_trust(pki.root.pem), at).payload == body


def test_jwcrypto_reads_the_general_form(signed, keys):
    public, private = keys
    envelope = JWE(algs=["RSA-OAEP", "A256CBC-HS512"])
    envelope.deserialize(serialize(encrypt(signed, public)).decode(), private[1])
    assert read(envelope.payload) == signed


def test_joserfc_reads_the_general_form(signed, keys, pki):
    registry = jwe.JWERegistry(strict_check_header=False, algorithms=["RSA-OAEP", "A256CBC-HS512"])
    registry.max_ciphertext_length = registry.max_header_length = registry.max_protected_header_length = 1 << 30
    document = encrypt(signed, keys[0][:1])
    key = jwk.RSAKey.import_key(pki.receiver.key_pem)
    assert read(jwe.decrypt_json(document, key, registry=registry).plaintext) == signed


def test_only_what_is_signed_is_encrypted(body, keys, signed):
    with pytest.raises(ConfigError, match="signed"):
        encrypt(read(body), keys[0])
    for recipients in ([], keys[0] * MOST_RECIPIENTS):
        with pytest.raises(ConfigError, match="recipients"):
            encrypt(signed, recipients)
    with pytest.raises(ConfigError, match="RSA-OAEP"):
        encrypt(signed, [JWK.generate(kty="EC", crv="P-256")])


def test_nobody_else_reads_it(signed, keys, pki):
    document = encrypt(signed, keys[0][:1])
    assert reason(document, keys[1][1]) == "decryption"
    assert reason(document, load_private(pki.curve.key_pem)) == "decryption"


def test_an_envelope_that_names_another_vcon_or_form(signed, keys):
    document = encrypt(signed, keys[0][:1])
    other = copy.deepcopy(document)
    other["unprotected"]["uuid"] = "019f155a-5131-80ec-832a-bc92ac6830ce"
    assert reason(other, keys[1][0]) == "uuid"
    other = copy.deepcopy(document)
    other["unprotected"]["cty"] = "application/vcon+gzip"
    assert reason(other, keys[1][0]) == "header"
    other["unprotected"] = {"cty": "application/vcon+json"}
    assert decrypt(other, keys[1][0]) == signed
    del other["unprotected"]
    assert decrypt(other, keys[1][0]) == signed


@pytest.mark.parametrize("inside", [b"hello", b"{}", b'{"parties":[]}', b"\x1f\x8b"])
def test_what_is_inside_must_be_a_signed_vcon(keys, inside):
    envelope = JWE(inside, protected='{"enc":"A256CBC-HS512"}', algs=["RSA-OAEP", "A256CBC-HS512"])
    for key in keys[0]:
        envelope.add_recipient(key, header='{"alg":"RSA-OAEP"}')
    assert reason(msgspec.json.decode(envelope.serialize()), keys[1][0]) == "payload"


@pytest.mark.parametrize(
    "header", [b'{"enc":"A256CBC-HS512","zip":"DEF"}', b'{"enc":"A256CBC-HS512","crit":["x"]}', b"[]", b"x"]
)
def test_headers_that_are_not_for_us(signed, keys, header):
    document = encrypt(signed, keys[0][:1])
    document["protected"] = b64(header)
    assert reason(document, keys[1][0]) in {"header", "decryption"}


def test_weak_ways_to_wrap_a_key_are_not_taken(signed, keys):
    for algorithm, header in (("RSA1_5", '{"alg":"RSA1_5"}'),):
        envelope = JWE(serialize(signed), protected='{"enc":"A256CBC-HS512"}', algs=[algorithm, "A256CBC-HS512"])
        for key in keys[0]:
            envelope.add_recipient(key, header=header)
        assert reason(msgspec.json.decode(envelope.serialize()), keys[1][0]) == "decryption"


@pytest.mark.parametrize(
    "change",
    [
        {"recipients": 1}, {"recipients": []}, {"recipients": [1]}, {"recipients": [{}]}, {"unprotected": 1},
        {"iv": 1}, {"iv": "*"}, {"ciphertext": ""}, {"tag": None}, {"protected": 1}, {"protected": "*"},
    ],
    ids=range(11),
)  # fmt: skip
def test_broken_forms(signed, keys, change):
    document = {**encrypt(signed, keys[0][:1]), **change}
    assert reason(document, keys[1][0]) in {"form", "header", "decryption", "base64url"}


def test_no_change_of_a_bit_is_accepted(signed, keys):
    rng = random.Random(8)
    document = encrypt(signed, keys[0][:1])
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_+*"
    for _ in range(150):
        changed = copy.deepcopy(document)
        name = rng.choice(["protected", "iv", "ciphertext", "tag", "encrypted_key"])
        holder = changed["recipients"][0] if name == "encrypted_key" else changed
        at = rng.randrange(len(holder[name]))
        holder[name] = holder[name][:at] + rng.choice(alphabet) + holder[name][at + 1 :]
        try:
            inner = decrypt(changed, keys[1][0])
        except ProtocolError:
            continue
        assert inner == signed


def test_a_recipient_may_be_named_by_key_or_by_certificate(pki):
    pem = pki.receiver.key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    assert load_recipient(pem).thumbprint() == load_recipient(pki.receiver.pem).thumbprint()
