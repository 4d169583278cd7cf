"""Contexts of TLS: what is shown, who is believed, what is read again, what is wrong with a file."""

import asyncio
import datetime as dt
import ssl

import pytest
from cryptography.hazmat.primitives import serialization
from prometheus_client import REGISTRY
from structlog.testing import capture_logs

from vcond.base.errors import ConfigError
from vcond.base.tls import Served, client, ends, expired, served
from vcond.testing.certificates import certificate


async def shake(shown: Served, theirs: ssl.SSLContext) -> bytes:
    """The certificate that a client gets, after a byte each way."""

    async def serve(reader, writer):
        writer.write(await reader.read(1))
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=shown.context)
    async with server:
        port = server.sockets[0].getsockname()[1]
        reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=theirs)
        try:
            writer.write(b"x")
            if await reader.read(1) != b"x":
                raise ConnectionResetError
            return writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
        finally:
            writer.close()
            await asyncio.gather(writer.wait_closed(), return_exceptions=True)


def paths(*files):
    return [str(file) for file in files]


async def test_a_client_believes_its_own_authority_only(tmp_path):
    cert, key = paths(*certificate(tmp_path))
    shown = Served(cert, key, "", "web")
    assert await shake(shown, client(cert, "x"))
    with pytest.raises(ssl.SSLCertVerificationError):
        await shake(shown, client("", "x"))


async def test_files_are_read_again_and_half_a_pair_is_not_taken(tmp_path):
    cert, key = certificate(tmp_path)
    shown = Served(*paths(cert, key), "", "web")
    first = await shake(shown, client(str(cert), "x"))
    told = REGISTRY.get_sample_value("vcond_certificate_expiry_timestamp_seconds", {"section": "web"})
    assert told == ends(str(cert), "x").timestamp()
    assert shown in served()
    new, new_key = certificate(tmp_path, "new")
    new.rename(cert)
    with pytest.raises(ConfigError, match=r"^web\.certificate: cannot be used: holds no certificates, or not those of"):
        shown.check()
    new_key.rename(key)
    shown.check()
    shown.reload()
    assert await shake(shown, client(str(cert), "x")) != first


async def test_pem_text_is_taken_as_a_file_is(tmp_path):
    cert, key = certificate(tmp_path)
    shown = Served(cert.read_text(), key.read_text(), "", "web")
    assert await shake(shown, client(cert.read_text(), "x"))
    assert ends(cert.read_text(), "x") == ends(str(cert), "x")


async def test_with_client_ca_who_has_no_certificate_of_it_gets_no_answer(tmp_path):
    cert, key = paths(*certificate(tmp_path))
    theirs, their_key = paths(*certificate(tmp_path, "theirs"))
    shown = Served(cert, key, theirs, "web")
    unknown = client(cert, "x")
    with pytest.raises((ssl.SSLError, ConnectionError)):
        await shake(shown, unknown)
    known = client(cert, "x")
    known.load_cert_chain(theirs, their_key)
    assert await shake(shown, known)


def test_what_cannot_be_used_is_said_with_its_key(tmp_path):
    cert, key = certificate(tmp_path)
    pair = Served(*paths(cert, key), "", "web")
    assert pair.context.minimum_version == client("", "sinks.a.ca_file").minimum_version == ssl.TLSVersion.TLSv1_2
    locked = tmp_path / "locked.key"
    locked.write_bytes(
        serialization.load_pem_private_key(key.read_bytes(), None).private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(b"word"),
        )
    )
    for given, told in (
        ((str(tmp_path / "none"), "", ""), "web.certificate: cannot be used: No such file"),
        ((str(cert), str(locked), ""), "without a password"),
        ((str(cert), "", ""), "holds no certificates, or not those of the key"),
        ((str(cert), str(key), str(key)), "web.client_ca: cannot be used"),
    ):
        with pytest.raises(ConfigError, match=told):
            Served(*given, "web")
    with pytest.raises(ConfigError, match=r"^sinks\.a\.ca_file: cannot be used: holds no certificates"):
        client(str(key), "sinks.a.ca_file")
    with pytest.raises(ConfigError, match="holds no certificates"):
        ends(str(key), "x")


def test_an_end_is_that_of_the_first_to_end(tmp_path):
    one, two = certificate(tmp_path, days=40)[0], certificate(tmp_path, "two", days=3)[0]
    both = tmp_path / "both.pem"
    both.write_bytes(one.read_bytes() + two.read_bytes())
    left = ends(str(both), "x") - dt.datetime.now(dt.UTC)
    assert dt.timedelta(days=2) < left <= dt.timedelta(days=3)


def test_one_that_has_expired_is_logged_and_known_until_it_is_renewed(tmp_path):
    with capture_logs() as said:
        shown = Served(*paths(*certificate(tmp_path, days=-2)), "", "web")
    assert list(expired()) == ["web"]
    assert [(one["log_level"], one["section"], one["hint"]) for one in said] == [
        ("error", "web", "renew it, then: systemctl reload vcond")
    ]
    certificate(tmp_path, days=30)
    with capture_logs() as said:
        shown.reload()
    assert (expired(), said) == ({}, [])
