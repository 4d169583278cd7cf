"""Who is let in: TLS with and without a certificate of the client's, and passwords (RFC 3261 section 22, RFC 8760)."""

from __future__ import annotations

import asyncio
import hashlib
import re
import ssl

import pytest
from siprec_client import ALICE, CONFIG, Client, Leg, attached, drive, metadata, over, serving, speak

from vcond.base.errors import ConfigError
from vcond.sdk.tls import client
from vcond.testing.certificates import certificate
from vcond.testing.host import MemoryHost
from vcond.testing.watch import captured_logs
from vcond_siprec import SiprecConfig
from vcond_siprec.check import check

PASSWORD = "correct horse"


async def options(port: int, tls: ssl.SSLContext) -> bytes:
    """What an OPTIONS is answered with; empty when the connection is closed before."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=tls)
    try:
        writer.write(
            b"OPTIONS sip:srs@127.0.0.1 SIP/2.0\r\nVia: SIP/2.0/TLS 127.0.0.1:9;branch=z9hG4bKo\r\n"
            b"From: <sip:c@x>;tag=1\r\nTo: <sip:srs@127.0.0.1>\r\nCall-ID: o\r\nCSeq: 1 OPTIONS\r\nContent-Length: 0\r\n\r\n"
        )
        return await reader.read(4096)
    finally:
        writer.close()
        await asyncio.gather(writer.wait_closed(), return_exceptions=True)


async def test_tls_with_client_certificates(tmp_path):
    cert, key = map(str, certificate(tmp_path))
    theirs, their_key = map(str, certificate(tmp_path, "theirs"))
    told = {"listen": ["tls:127.0.0.1:0"], "certificate": cert, "key": key}
    for client_ca, has, answered in (("", False, True), (theirs, False, False), (theirs, True, True)):
        async with MemoryHost("siprec") as host, attached(host, **told, client_ca=client_ca):
            context = client(cert, "x")
            if has:
                context.load_cert_chain(theirs, their_key)
            port = int(host.attachments[-1][1].rpartition(":")[2])
            got = b""
            try:
                got = await options(port, context)
            except (ssl.SSLError, ConnectionError):
                assert not answered
            assert got.startswith(b"SIP/2.0 200") == answered


def test_a_certificate_that_is_missing_or_cannot_be_used_is_said():
    with pytest.raises(ConfigError, match=r"adapters\.siprec\.certificate: is needed to listen for tls"):
        SiprecConfig(listen=["tls:127.0.0.1:5061"])
    config = SiprecConfig(**CONFIG, certificate="/nowhere.pem")
    (found,) = [one for one in check(config) if one.what == "certificate"]
    assert (found.level, "No such file" in found.detail) == ("error", True)


def test_check_says_whom_a_certificate_lets_in(tmp_path):
    cert, key = map(str, certificate(tmp_path))
    for client_ca, whom in (("", "every client"), (cert, "client_ca")):
        config = SiprecConfig(**CONFIG, certificate=cert, key=key, client_ca=client_ca)
        (found,) = [one for one in check(config) if one.what == "certificate"]
        assert (found.level, whom in found.detail) == ("ok", True)


def answer(challenge: str, user: str, password: str, algorithm: str) -> str:
    """An Authorization that answers one of the challenges of a 401."""
    realm, nonce = (re.search(rf'{name}="([^"]+)"', challenge)[1] for name in ("realm", "nonce"))

    def hashed(text: str) -> str:
        return hashlib.new({"SHA-256": "sha256", "MD5": "md5"}[algorithm], text.encode()).hexdigest()

    uri = "sip:srs@127.0.0.1"
    response = hashed(f"{hashed(f'{user}:{realm}:{password}')}:{nonce}:00000001:c:auth:{hashed(f'INVITE:{uri}')}")
    return (
        f'Authorization: Digest username="{user}", realm="{realm}", nonce="{nonce}", uri="{uri}", algorithm={algorithm},'
        f' qop=auth, nc=00000001, cnonce="c", response="{response}"'
    )


@pytest.mark.parametrize("algorithm", ["SHA-256", "MD5"])
def test_with_users_a_session_begins_with_a_password_only(algorithm):
    async def main():
        with captured_logs() as logs:
            async with serving(users={"sbc": PASSWORD}) as (host, make):
                one: Client = make("1")
                refused = await one.invite(metadata(ALICE))
                assert (refused.status, refused.body) == (401, b"")
                for user, password, status in (
                    ("sbc", "wrong", 401),
                    ("nobody", PASSWORD, 401),
                    ("sbc", PASSWORD, 200),
                ):
                    one.headers = answer(refused.headers["www-authenticate"], user, password, algorithm)
                    reply = await one.invite(metadata(ALICE))
                    assert reply.status == status
                used = one.headers
                one.headers = ""
                await speak(one, 1)
                assert (await one.bye()).status == 200, "within a dialog its tags are enough"
                await over(host)
                again: Client = make("1", headers=used)
                assert (await again.invite(metadata(ALICE))).status == 401, "what was overheard is of no use"
                assert host.drops["sip", "password"] == 2
        assert not any(PASSWORD in line for line in logs)

    drive(main())


def test_md5_can_be_left_out():
    async def main():
        async with serving(users={"sbc": PASSWORD}, md5=False, realm="records") as (_, make):
            one = make(Leg("1"))
            said = (await one.invite(metadata(ALICE))).headers["www-authenticate"]
            assert "SHA-256" in said
            assert "MD5" not in said
            assert 'realm="records"' in said
            one.headers = answer(said, "sbc", PASSWORD, "MD5")
            assert (await one.invite(metadata(ALICE))).status == 401

    drive(main())
