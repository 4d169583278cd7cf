from __future__ import annotations

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from vcond.base.errors import ConfigError
from vcond.base.time import SECOND, Instant
from vcond.vcon.sealing.keys import Trust, check, load_certificates, load_recipient, load_signer, load_trust, trusted

DAY = 86400 * SECOND


def test_a_good_signer_passes(pki, at):
    signer = load_signer(pki.leaf.key_pem, pki.chain)
    check(signer, at)
    assert signer.ends == pki.leaf.certificate.not_valid_after_utc
    check(load_signer(pki.leaf.key_pem, pki.chain, algorithm="PS256"), at)
    check(load_signer(pki.curve.key_pem, pki.curve.pem + pki.middle.pem, algorithm="ES256"), at)


@pytest.mark.parametrize(
    ("key", "chain", "options", "reason"),
    [
        ("leaf", "receiver", {}, "does not belong to the first certificate"),
        ("leaf", "chain", {"algorithm": "ES256"}, "curve P-256"),
        ("curve", "curve", {"algorithm": "RS256"}, "RSA key of at least 2048"),
        ("leaf", "backwards", {}, "does not belong to the first certificate"),
        ("leaf", "gap", {}, "not a chain"),
    ],
)
def test_a_signer_that_cannot_sign_says_why(pki, at, key, chain, options, reason):
    chains = {
        "chain": pki.chain, "receiver": pki.receiver.pem, "curve": pki.curve.pem,
        "backwards": pki.middle.pem + pki.leaf.pem, "gap": pki.leaf.pem + pki.root.pem,
    }  # fmt: skip
    signer = load_signer(getattr(pki, key).key_pem, chains[chain], **options)
    with pytest.raises(ConfigError, match=reason):
        check(signer, at)


def test_time_runs_out_and_has_not_come(pki, at):
    signer = load_signer(pki.leaf.key_pem, pki.chain)
    with pytest.raises(ConfigError, match="expired on 2027-11-23"):
        check(signer, Instant(at + 400 * DAY))
    with pytest.raises(ConfigError, match="not valid before 2026-11-13"):
        check(signer, Instant(at - 30 * DAY))


def test_keys_that_are_too_weak_or_of_another_curve(certify, at):
    weak = rsa.generate_private_key(65537, 1024)
    entity = certify("weak", key=weak)
    with pytest.raises(ConfigError, match="at least 2048"):
        check(load_signer(entity.key_pem, entity.pem), at)
    with pytest.raises(ConfigError, match="at least 2048"):
        load_recipient(entity.pem)
    large = certify("curve", key=ec.generate_private_key(ec.SECP384R1()))
    with pytest.raises(ConfigError, match="P-256"):
        check(load_signer(large.key_pem, large.pem, algorithm="ES256"), at)
    with pytest.raises(ConfigError, match="RSA"):
        load_recipient(large.pem)


@pytest.mark.parametrize(
    ("key", "chain", "options"),
    [
        (b"", None, {}), (b"-----BEGIN nonsense", None, {}), (None, b"", {}), (None, b"nothing", {}),
        (None, None, {"algorithm": "none"}), (None, None, {"algorithm": "HS256"}), (None, None, {"x5u": "http://a"}),
    ],
    ids=range(7),
)  # fmt: skip
def test_what_cannot_be_read_is_the_operators_to_mend(pki, key, chain, options):
    with pytest.raises(ConfigError):
        load_signer(pki.leaf.key_pem if key is None else key, pki.chain if chain is None else chain, **options)


def test_a_public_key_signs_nothing(pki):
    with pytest.raises(ConfigError, match="public key"):
        load_signer(pki.leaf.pem, pki.chain)


def test_a_key_with_a_password(pki, at):
    sealed = pki.leaf.key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(b"open sesame"),
    )
    check(load_signer(sealed, pki.chain, password=b"open sesame"), at)
    for password in (None, b"wrong"):
        with pytest.raises(ConfigError, match="password"):
            load_signer(sealed, pki.chain, password=password)


def test_recipients_keep_no_private_part(pki):
    assert not load_recipient(pki.receiver.key_pem).has_private
    assert not load_recipient(pki.receiver.pem).has_private
    with pytest.raises(ConfigError):
        load_recipient(b"x")


def test_trust_by_authority_by_pin_and_not_at_all(pki, certify, at):
    chain = load_certificates(pki.chain)
    assert trusted(chain, load_trust(pki.root.pem), at) == ""
    assert trusted(chain, load_trust(pki.middle.pem), at) == ""
    assert trusted(chain, load_trust(pki.leaf.pem), at) == ""
    assert trusted(chain[:1], load_trust(pki.root.pem), at) == "untrusted"
    assert trusted(chain, load_trust(pki.stranger_root.pem), at) == "untrusted"
    assert trusted(chain, Trust(()), at) == "untrusted"
    assert trusted(chain, load_trust(pki.root.pem), Instant(at + 400 * DAY)) == "expired"
    assert trusted(chain, load_trust(pki.leaf.pem), Instant(at + 400 * DAY)) == "expired"
    assert trusted(load_certificates(pki.stranger.pem), load_trust(pki.root.pem), at) == "untrusted"


def test_certificates_for_something_else_sign_no_vcon(pki, certify, at):
    store = load_trust(pki.root.pem)
    assert trusted((certify("tls", pki.root, usage=False).certificate,), store, at) == "untrusted"
    assert trusted((pki.middle.certificate,), store, at) == "untrusted"
    assert trusted((certify("any", pki.root).certificate,), store, at) == ""
    under_a_leaf = certify("child", pki.receiver)
    assert trusted((under_a_leaf.certificate, pki.receiver.certificate), store, at) == "untrusted"
