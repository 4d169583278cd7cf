"""Who is let in: TLS with and without a certificate of the client's."""

from __future__ import annotations

import asyncio
import ssl

import pytest
from siprec_client import CONFIG, attached

from vcond.base.errors import ConfigError
from vcond.sdk.tls import client
from vcond.testing.certificates import certificate
from vcond.testing.host import MemoryHost
from vcond_siprec import SiprecConfig
from vcond_siprec.check import check


async def options(port: int, tls: ssl.SSLContext) -> bytes:
    """What an OPTIONS is answered with; empty when the connection is closed before."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=tls)
    try:
        writer.write(
            b"OPTIONS sip:srs@127.0.0.1 SIP/2.0\r\nVia: SIP/2.0/TLS 127.0.0.1:9;branch=z9hG4bKo\r\n"
            b"From: <sip:c@x>;tag=1\r\nTo: <sip:srs@127.0.0.1>\r\nCall-ID: o\r\nCSeq: 1 OPTIONS\r\nContent-Length: 0\r\n\r\n"
        )
        return await asyncio.wait_for(reader.read(4096), 10)
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
