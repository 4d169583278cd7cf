from __future__ import annotations

import base64
import copy
import gzip
import random
import subprocess

import msgspec
import pytest
from cryptography.hazmat.primitives import serialization
from joserfc import jwk, jws
from jwcrypto.jwa import JWA
from jwcrypto.jwk import JWK
from jwcrypto.jws import JWS

from vcond.base.errors import ConfigError, PeerError, ProtocolError
from vcond.base.time import SECOND, Instant
from vcond.vcon import read, serialize, validate
from vcond.vcon.sealing.keys import load_certificates, load_signer, load_trust
from vcond.vcon.sealing.sign import sign, sign_again, signed
from vcond.vcon.sealing.verify import MOST_SIGNATURES, SealBrokenError, decoded, open_signed

DAY = 86400 * SECOND


@pytest.fixture(scope="module")
def body(data) -> bytes:
    return serialize(read((data / "busy.vcon.json").read_bytes()))


@pytest.fixture(scope="module")
def signer(pki):
    return load_signer(pki.leaf.key_pem, pki.chain)


@pytest.fixture(scope="module")
def trust(pki):
    return load_trust(pki.root.pem)


def b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def reason(document, trust, at, **options) -> str:
    with pytest.raises(SealBrokenError) as caught:
        open_signed(document, trust, at, **options)
    assert isinstance(caught.value, (ProtocolError, PeerError))
    return caught.value.reason


@pytest.mark.parametrize("algorithm", ["RS256", "PS256", "ES256"])
def test_what_was_signed_comes_back_byte_for_byte(pki, body, trust, at, algorithm):
    who = pki.curve if algorithm == "ES256" else pki.leaf
    signer = load_signer(who.key_pem, who.pem + pki.middle.pem, algorithm=algorithm)
    document = read(serialize(sign(body, signer, at)))
    assert validate(document) == []
    opened = open_signed(document, trust, at)
    assert opened.payload == body
    assert opened.document == read(body)
    assert (opened.algorithm, opened.layers) == (algorithm, 1)
    assert opened.chain[0] == who.certificate


@pytest.mark.parametrize("size", [0, 1, 2, 3, 196_607, 196_608, 196_609, 500_000])
def test_the_text_that_is_made_while_it_is_written_is_the_document(signer, at, trust, size):
    body = msgspec.json.encode({"uuid": "u", "x": "a" * size})
    text = signed(body, signer, at)
    assert len(bytes(text)) == len(text)
    assert b"".join(text) == bytes(text)
    assert read(bytes(text)) == sign(body, signer, at)
    assert open_signed(read(bytes(text)), trust, at).payload == body


def test_the_form_is_that_of_the_draft(body, signer, at, pki):
    document = sign(body, signer, at)
    assert set(document) == {"payload", "signatures"}
    (one,) = document["signatures"]
    assert decoded(one["protected"]) == b'{"alg":"RS256"}'
    assert set(one["header"]) == {"x5c", "uuid"}
    assert one["header"]["uuid"] == read(body)["uuid"]
    der = pki.leaf.certificate.public_bytes(serialization.Encoding.DER)
    assert base64.b64decode(one["header"]["x5c"][0], validate=True) == der
    assert decoded(document["payload"]) == body


def test_jwcrypto_agrees(body, signer, at, pki):
    token = JWS()
    token.allowed_algs = ["RS256"]
    token.deserialize(serialize(sign(body, signer, at)).decode(), JWK.from_pem(pki.leaf.pem))
    assert token.payload == body


def test_joserfc_agrees(body, signer, at, pki):
    registry = jws.JWSRegistry(strict_check_header=False, algorithms=["RS256"])
    registry.max_header_length = registry.max_payload_length = 1 << 30
    document = sign(body, signer, at)
    public = pki.leaf.key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    found = jws.deserialize_json(document, jwk.RSAKey.import_key(public), registry=registry)
    assert found.payload == body


def test_openssl_agrees(body, signer, at, pki, tmp_path):
    document = sign(body, signer, at)
    (one,) = document["signatures"]
    public = pki.leaf.key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    (tmp_path / "key.pem").write_bytes(public)
    (tmp_path / "signature").write_bytes(decoded(one["signature"]))
    (tmp_path / "input").write_text(f"{one['protected']}.{document['payload']}")
    done = subprocess.run(
        ["openssl", "dgst", "-sha256", "-verify", "key.pem", "-signature", "signature", "input"],
        cwd=tmp_path, capture_output=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


def test_the_three_forms_of_the_header_are_read(body, signer, at, trust, pki):
    plain = sign(body, signer, at)
    both = sign(body, load_signer(pki.leaf.key_pem, pki.chain, alg_twice=True), at)
    assert both["signatures"][0]["header"]["alg"] == "RS256"
    assert open_signed(both, trust, at).payload == body
    token = JWS(body)
    token.add_signature(
        JWK.from_pem(pki.leaf.key_pem),
        None,
        None,
        msgspec.json.encode({**plain["signatures"][0]["header"], "alg": "RS256"}).decode(),
    )
    made = msgspec.json.decode(token.serialize())
    unprotected = {
        "payload": made["payload"],
        "signatures": [{"protected": "", "header": made["header"], "signature": made["signature"]}],
    }
    assert open_signed(unprotected, trust, at).payload == body


def test_headers_that_contradict_one_another_are_refused(body, at, trust, pki):
    document = sign(body, load_signer(pki.leaf.key_pem, pki.chain, alg_twice=True), at)
    document["signatures"][0]["header"]["alg"] = "ES256"
    assert reason(document, trust, at) == "header"


@pytest.mark.parametrize("algorithm", ["none", "HS256", "RS512", "", None, ["RS256"]])
def test_only_fixed_algorithms_count(body, signer, at, trust, algorithm):
    document = sign(body, signer, at)
    document["signatures"][0]["protected"] = b64(msgspec.json.encode({"alg": algorithm}))
    assert reason(document, trust, at) == "algorithm"


def test_the_public_key_is_no_shared_secret(body, at, trust, pki):
    """The classic: HS256 with the public key as the secret."""
    key = JWK.from_pem(pki.leaf.pem)
    secret = JWK(kty="oct", k=b64(key.export_to_pem()))
    token = JWS(body)
    token.add_signature(secret, None, '{"alg":"HS256"}', None)
    made = msgspec.json.decode(token.serialize())
    header = sign(body, load_signer(pki.leaf.key_pem, pki.chain), at)["signatures"][0]["header"]
    forged = {
        "payload": made["payload"],
        "signatures": [{**{k: made[k] for k in ("protected", "signature")}, "header": header}],
    }
    assert reason(forged, trust, at) == "algorithm"


@pytest.mark.parametrize("name", ["crit", "b64"])
def test_headers_that_must_be_understood_are_not(body, signer, at, trust, name):
    document = sign(body, signer, at)
    document["signatures"][0]["header"][name] = ["x"]
    assert reason(document, trust, at) == "header"


def test_a_changed_payload_signature_or_header_is_refused(body, signer, at, trust):
    document = sign(body, signer, at)
    changed = copy.deepcopy(document)
    changed["payload"] = b64(body.replace(b"busy", b"failed"))
    assert reason(changed, trust, at) == "signature"
    changed = copy.deepcopy(document)
    changed["signatures"][0]["protected"] = b64(b'{"alg":"RS256" }')
    assert reason(changed, trust, at) == "signature"
    changed = copy.deepcopy(document)
    changed["signatures"][0]["protected"] = b64(b'{"alg":"PS256"}')
    assert reason(changed, trust, at) == "signature"
    changed = copy.deepcopy(document)
    changed["signatures"][0]["signature"] = b64(bytes(256))
    assert reason(changed, trust, at) == "signature"


def test_strangers_and_the_past_are_not_believed(body, signer, at, trust, pki):
    stranger = sign(body, load_signer(pki.stranger.key_pem, pki.stranger.pem + pki.stranger_root.pem), at)
    assert reason(stranger, trust, at) == "untrusted"
    document = sign(body, signer, at)
    assert reason(document, trust, Instant(at + 400 * DAY)) == "expired"
    assert reason(document, trust, Instant(at - 400 * DAY)) == "expired"
    document["signatures"][0]["header"]["x5c"] = stranger["signatures"][0]["header"]["x5c"]
    assert reason(document, trust, at) == "untrusted"


def test_another_trusted_certificate_does_not_fit_the_signature(body, signer, at, trust, pki):
    document = sign(body, signer, at)
    other = base64.b64encode(pki.receiver.certificate.public_bytes(serialization.Encoding.DER)).decode()
    document["signatures"][0]["header"]["x5c"] = [other]
    assert reason(document, trust, at) == "signature"


def test_the_header_must_name_the_vcon_that_is_inside(body, signer, at, trust):
    document = sign(body, signer, at)
    document["signatures"][0]["header"]["uuid"] = "019f155a-5131-80ec-832a-bc92ac6830ce"
    assert reason(document, trust, at) == "uuid"
    del document["signatures"][0]["header"]["uuid"]
    assert open_signed(document, trust, at).payload == body


def test_one_signature_that_holds_is_enough(body, signer, at, trust):
    document = sign(body, signer, at)
    broken = {**document["signatures"][0], "signature": b64(b"x")}
    document["signatures"] = [broken, *document["signatures"]]
    assert open_signed(document, trust, at).payload == body
    document["signatures"] = [broken] * (MOST_SIGNATURES + 1)
    assert reason(document, trust, at) == "form"


def test_a_chain_behind_a_url_is_given_by_the_caller(body, at, trust, pki):
    document = sign(body, load_signer(pki.leaf.key_pem, pki.chain, x5u="https://edge.example/chain.pem"), at)
    assert document["signatures"][0]["header"]["x5u"] == "https://edge.example/chain.pem"
    assert reason(document, trust, at) == "certificate"
    assert open_signed(document, trust, at, chain=load_certificates(pki.chain)).payload == body
    assert reason(document, trust, at, chain=load_certificates(pki.stranger.pem)) == "untrusted"


def test_gzip_inside_and_signatures_around_signatures(body, signer, at, trust, pki):
    packed = gzip.compress(body, mtime=0)
    opened = open_signed(sign(packed, signer, at), trust, at)
    assert opened.payload == body
    archived = sign(body, signer, at)
    later = Instant(at + 300 * DAY)
    again = sign_again(archived, signer, trust, later)
    opened = open_signed(again, trust, later)
    assert (opened.payload, opened.layers) == (body, 2)
    assert again["signatures"][0]["header"]["uuid"] == read(body)["uuid"]
    with pytest.raises(SealBrokenError):
        sign_again(archived, signer, load_trust(pki.stranger_root.pem), at)


def test_signatures_around_signatures_without_end(body, signer, at, trust):
    document = sign(body, signer, at)
    for _ in range(8):
        document = {"payload": b64(serialize(document)), "signatures": document["signatures"]}
    with pytest.raises(SealBrokenError):
        sign(serialize(document), signer, at)
    deep = sign(body, signer, at)
    for _ in range(7):
        deep = sign(serialize(deep), signer, at)
    assert open_signed(deep, trust, at).layers == 8
    with pytest.raises(SealBrokenError):
        open_signed(sign(serialize(deep), signer, at), trust, at)


def test_a_payload_that_is_no_vcon_is_refused_though_it_was_signed(body, signer, at, trust):
    document = sign(body, signer, at)
    text = b64(b"hello")
    spoken = f"{document['signatures'][0]['protected']}.{text}".encode()
    document["payload"] = text
    document["signatures"][0]["signature"] = b64(JWA.signing_alg("RS256").sign(signer.key, spoken))
    assert reason(document, trust, at) == "payload"


def test_nothing_but_a_vcon_is_signed(signer, at):
    with pytest.raises(ProtocolError):
        sign(b"hello", signer, at)


def test_an_expired_signer_signs_nothing(body, signer, at):
    with pytest.raises(ConfigError):
        sign(body, signer, Instant(at + 400 * DAY))


@pytest.mark.parametrize(
    "broken",
    [
        {}, {"payload": 1, "signatures": []}, {"payload": "", "signatures": []}, {"payload": "", "signatures": {}},
        {"payload": "", "signatures": [1]}, {"payload": "", "signatures": [{}]},
        {"payload": "", "signatures": [{"protected": "e30", "signature": "", "header": 1}]},
        {"payload": "", "signatures": [{"protected": "*", "signature": "", "header": {}}]},
        {"payload": "", "signatures": [{"protected": "W10", "signature": "", "header": {}}]},
        {"payload": "", "signatures": [{"protected": "A" * 200_000, "signature": "", "header": {}}]},
    ],
    ids=range(10),
)  # fmt: skip
def test_broken_forms(broken, trust, at):
    assert reason(broken, trust, at) in {"form", "header", "base64url"}


def test_a_protected_header_of_any_size_is_not_read(body, signer, at, trust):
    document = sign(body, signer, at)
    document["signatures"][0]["protected"] = b64(b'{"alg":"none"}' + b" " * 200_000)
    assert reason(document, trust, at) == "header"


@pytest.mark.parametrize("chain", [None, [], "x", [1], ["*"], ["AAAA"], ["A" * 10] * 9, [None]])
def test_broken_chains(body, signer, at, trust, chain):
    document = sign(body, signer, at)
    document["signatures"][0]["header"]["x5c"] = chain
    assert reason(document, trust, at) == "certificate"


@pytest.mark.parametrize("text", ["a", "ab+d", "ab/d", "a b", "é", "ab==c", "ab\n"])
def test_base64url_and_nothing_else(text):
    with pytest.raises(SealBrokenError):
        decoded(text)


def test_base64url_padded_or_not():
    assert decoded("_-8") == decoded("_-8=") == b"\xff\xef"


def test_no_change_of_a_bit_is_accepted(body, signer, at, trust):
    """Bits of everything that carries meaning, at random."""
    rng = random.Random(3)
    document = sign(body, signer, at)
    for _ in range(300):
        changed = copy.deepcopy(document)
        place = rng.choice(["payload", "protected", "signature", "x5c"])
        if place == "payload":
            changed["payload"] = flipped(changed["payload"], rng)
        elif place == "x5c":
            chain = changed["signatures"][0]["header"]["x5c"]
            at_certificate = rng.randrange(len(chain))
            chain[at_certificate] = flipped(chain[at_certificate], rng)
        else:
            changed["signatures"][0][place] = flipped(changed["signatures"][0][place], rng)
        try:
            opened = open_signed(changed, trust, at)
        except ProtocolError:
            continue
        # a last character may change in bits that base64 does not use; what is read must be what was signed
        assert opened.payload == body


def flipped(text: str, rng: random.Random) -> str:
    at = rng.randrange(len(text))
    other = rng.choice("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_+/=* ")
    return text[:at] + other + text[at + 1 :]
