"""The sink ``conserver`` against a conserver that behaves as the real one does."""

from __future__ import annotations

import asyncio
import hashlib

import pytest
from delivery_kit import body_of, uuid_of
from fake_conserver import Cut, FakeConserver, Hang, Slow, Status

from vcond.base.errors import ConfigError
from vcond.base.tls import Served
from vcond.delivery.sinks.conserver import ConserverConfig, ConserverSink
from vcond.sdk.sink import OutgoingVcon, Refused, Retry
from vcond.testing.certificates import certificate
from vcond.testing.time import run_virtual

KEY = "list-key-1"
API = "api-token-1"


def sealed(n: int, body: bytes | None = None) -> OutgoingVcon:
    body = body_of(n) if body is None else body
    return OutgoingVcon(uuid_of(n), body, hashlib.sha512(body).hexdigest())


@pytest.fixture
async def conserver():
    async with FakeConserver(ingress_auth={"edge": KEY, "more": [KEY, "k2"]}, tokens=[API]) as running:
        yield running


@pytest.fixture
async def make(conserver):
    made = []

    def sink(**options):
        options = {"url": conserver.url, "ingress_lists": ["edge"], "token": KEY} | options
        made.append(ConserverSink(ConserverConfig(**options)))
        return made[-1]

    yield sink
    for each in made:
        await each.close()


async def test_external_ingress_takes_it_with_the_lists_key(conserver, make):
    receipt = await make().deliver(sealed(1))
    assert (receipt.status, receipt.answer) == (204, "")
    assert receipt.target == f"{conserver.url}/vcon/external-ingress?ingress_list=edge"
    [got] = conserver.received
    assert (got.uuid, got.body, got.lists) == (uuid_of(1), body_of(1), ("edge",))
    assert got.headers["Content-Type"] == "application/json"
    assert got.headers["Idempotency-Key"] == uuid_of(1)
    assert "Content-Encoding" not in got.headers
    assert conserver.lists["edge"] == [uuid_of(1)]


async def test_vcon_mode_repeats_the_lists(conserver, make):
    receipt = await make(mode="vcon", ingress_lists=["edge", "more"], token=API).deliver(sealed(1))
    assert receipt.status == 201
    assert conserver.received[0].lists == ("edge", "more")
    assert set(conserver.lists) == {"edge", "more"}


async def test_list_names_are_escaped(conserver, make):
    conserver.ingress_auth["a&b c/ü"] = [KEY]
    await make(ingress_lists=["a&b c/ü"]).deliver(sealed(1))
    assert conserver.received[0].lists == ("a&b c/ü",)


@pytest.mark.parametrize(
    ("options", "status"),
    [
        ({"token": "wrong"}, 403),
        ({"token": API}, 403),  # the API's token opens no list
        ({"ingress_lists": ["unknown"]}, 403),
        ({"mode": "vcon", "token": KEY}, 403),
        ({"url_path": "/nowhere"}, 404),
    ],
)
async def test_a_wrong_key_list_or_address_holds_the_sink_with_a_hint(conserver, make, options, status):
    path = options.pop("url_path", None)
    if path:
        options["url"] = conserver.url + path
    with pytest.raises(Retry) as caught:
        await make(**options).deliver(sealed(1))
    assert (caught.value.reason, caught.value.status, caught.value.held) == (f"refused:{status}", status, True)
    assert "vcond outbox retry" in caught.value.hint
    assert conserver.received == []


async def test_a_422_keeps_the_answer_and_the_exceptions_text_holds_nothing_of_it(conserver, make):
    body = body_of(1, parties=[{"tel": "1001"}])
    with pytest.raises(Refused) as caught:
        await make().deliver(sealed(1, body))
    assert caught.value.reason == "refused:422"
    assert '"input": "1001"' in caught.value.answer
    assert "1001" not in str(caught.value) + repr(caught.value) + caught.value.hint


async def test_a_port_that_wants_tls_says_so(conserver, make):
    conserver.next(Status(400, b"<html>400 The plain HTTP request was sent to HTTPS port<center>nginx</center>"))
    with pytest.raises(Retry) as caught:
        await make().deliver(sealed(1))
    assert "use https://" in caught.value.hint
    assert "nginx at" in caught.value.detail


@pytest.mark.parametrize(
    ("status", "whole_sink"),
    [
        (408, False),
        (425, False),
        (429, True),
        (500, False),
        (501, False),
        (502, True),
        (503, True),
        (504, True),
        (599, False),
    ],
)
async def test_what_may_pass_is_tried_again(conserver, make, status, whole_sink):
    conserver.next(Status(status, b"busy"))
    with pytest.raises(Retry) as caught:
        await make().deliver(sealed(1))
    assert (caught.value.reason, caught.value.whole_sink, caught.value.answer) == (f"http:{status}", whole_sink, "busy")
    assert caught.value.after is None


@pytest.mark.parametrize(
    ("value", "after"),
    [
        ("7", 7),
        ("0", 0),
        ("86400", 3600),  # an hour at most
        ("9" * 5000, 3600),
        ("soon", None),
        ("-5", None),
        ("", None),
        ("Mon, 05 Jan 2026 12:01:30 GMT", 90),
        ("Mon, 05 Jan 2026 11:00:00 GMT", 0),
    ],
)
async def test_retry_after_in_seconds_or_as_a_date(conserver, make, value, after):
    headers = {"Retry-After": value, "Date": "Mon, 05 Jan 2026 12:00:00 GMT"}
    conserver.next(Status(429, headers=headers))
    with pytest.raises(Retry) as caught:
        await make().deliver(sealed(1))
    assert caught.value.after == after


@pytest.mark.parametrize("status", [200, 202, 206])
@pytest.mark.parametrize("mode", ["external-ingress", "vcon"])
async def test_success_is_only_the_documented_one(conserver, make, status, mode):
    conserver.next(Status(status, b"<html>welcome</html>"))
    with pytest.raises(Retry) as caught:
        await make(mode=mode, token=KEY if mode == "external-ingress" else API).deliver(sealed(1))
    assert (caught.value.reason, caught.value.held) == (f"unexpected:{status}", True)
    assert "correct `url`" in caught.value.hint


async def test_each_modes_success_is_not_the_others(conserver, make):
    conserver.next(Status(201, body_of(1)), Status(204))
    with pytest.raises(Retry, match="unexpected:201"):
        await make().deliver(sealed(1))
    with pytest.raises(Retry, match="unexpected:204"):
        await make(mode="vcon", token=API).deliver(sealed(1))


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_redirects_are_never_followed(conserver, make, status):
    conserver.next(Status(status, headers={"Location": f"{conserver.url}/vcon/external-ingress?ingress_list=edge"}))
    with pytest.raises(Retry, match=f"unexpected:{status}"):
        await make().deliver(sealed(1))
    assert conserver.tries == 1


@pytest.mark.parametrize("answer", [body_of(2), b"{}", b"no json", b"[]", b""])
async def test_an_echo_of_something_else_is_no_success(conserver, make, answer):
    conserver.next(Status(201, answer))
    with pytest.raises(Retry, match="unexpected:201"):
        await make(mode="vcon", token=API).deliver(sealed(1))


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        (Cut("request"), "connection-lost"),
        (Cut("answer"), "connection-lost"),
        (Cut("answer", store=True), "connection-lost"),
        (Cut("body"), "connection-lost"),
        (Cut("body", status=500), "connection-lost"),
        (Hang(), "timeout"),
        (Hang(store=True), "timeout"),
    ],
)
def test_a_connection_that_fails_is_tried_again(fault, reason):
    async def main():
        async with FakeConserver(tokens=[API]) as conserver:
            conserver.next(fault)
            sink = ConserverSink(
                ConserverConfig(url=conserver.url, ingress_lists=["edge"], mode="vcon", token=API, total_timeout=0.3)
            )
            with pytest.raises(Retry) as caught:
                await sink.deliver(sealed(1))
            assert (caught.value.reason, caught.value.whole_sink) == (reason, True)
            assert (await sink.deliver(sealed(1))).status == 201
            await sink.close()

    run_virtual(main())


async def test_nobody_listens(conserver, make):
    await conserver.down()
    with pytest.raises(Retry) as caught:
        await make().deliver(sealed(1))
    assert (caught.value.reason, caught.value.whole_sink) == ("unreachable", True)


async def test_a_server_that_speaks_no_http(make):
    async def warmup_audio(reader, writer):
        writer.write(b"SSH-2.0-OpenSSH\r\n")
        await reader.read()
        writer.close()

    async with await asyncio.start_server(warmup_audio, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        with pytest.raises(Retry, match="connection-lost"):
            await make(url=f"http://127.0.0.1:{port}").deliver(sealed(1))
        with pytest.raises(Retry) as caught:
            await make(url=f"https://127.0.0.1:{port}").deliver(sealed(1))
    assert caught.value.whole_sink


async def test_a_slow_answer_is_waited_for(conserver, make):
    until = asyncio.Event()
    conserver.next(Slow(until))
    sending = asyncio.create_task(make().deliver(sealed(1)))
    await conserver.wait_for(tries=1)
    assert not sending.done()
    until.set()
    assert (await sending).status == 204


async def test_answers_are_read_to_a_bound_and_made_printable(conserver, make):
    conserver.next(Status(400, b"\x1b[31mred\x00\xff\n" + b"x" * 10_000_000))
    with pytest.raises(Retry) as caught:
        await make().deliver(sealed(1))
    assert len(caught.value.answer) <= 2048
    assert caught.value.answer.startswith(" [31mred \N{REPLACEMENT CHARACTER}\nxxx")


async def test_more_than_the_file_storage_takes_is_not_even_sent(conserver, make):
    big = body_of(1, size=10_000_000)
    with pytest.raises(Refused) as caught:
        await make().deliver(sealed(1, big))
    assert caught.value.reason == "too-large"
    assert "drops more than 10 MB without an error" in caught.value.hint
    assert conserver.tries == 0
    assert (await make(max_bytes=20_000_000).deliver(sealed(1, big))).status == 204


async def test_what_passes_the_guard_is_kept_by_the_file_storage(conserver, make):
    size = 10_000_000 - len(body_of(1))
    assert (await make().deliver(sealed(1, body_of(1, size=size)))).status == 204
    assert uuid_of(1) in conserver.storage


async def test_erase_proves_that_it_is_gone(conserver, make):
    sink = make(admin_token=API)
    await sink.deliver(sealed(1))
    receipt = await sink.erase(uuid_of(1))
    assert (receipt.status, conserver.vcons) == (404, {})
    assert (await sink.erase(uuid_of(2))).status == 404


async def test_erase_needs_the_apis_token_and_a_uuid(conserver, make):
    sink = make()
    await sink.deliver(sealed(1))
    with pytest.raises(Retry, match="refused:403"):
        await sink.erase(uuid_of(1))
    with pytest.raises(Refused, match="not-a-uuid"):
        await sink.erase("../config")


async def test_check_says_who_is_there(conserver, make):
    assert "2026.8.16" in await make().check()
    with pytest.raises(Retry, match="refused:404"):
        await make(url=f"{conserver.url}/nowhere").check()
    await conserver.down()
    with pytest.raises(Retry, match="unreachable"):
        await make().check()


async def test_the_header_can_be_renamed(conserver, make):
    conserver.header = "x-our-token"
    assert (await make(header="x-our-token").deliver(sealed(1))).status == 204


async def test_close_twice(make):
    sink = make()
    await sink.deliver(sealed(1))
    await sink.close()
    await sink.close()


@pytest.mark.parametrize(
    ("options", "path"),
    [
        ({"url": "conserver:8000"}, "url"),
        ({"url": "ftp://conserver"}, "url"),
        ({"url": "http://"}, "url"),
        ({"url": "http://[::1"}, "url"),
        ({"url": "http://user:secret@conserver/api"}, "url"),
        ({"url": "http://conserver/api?token=secret"}, "url"),
        ({"url": "http://conserver/api/vcons"}, "url"),  # answers 405
        ({"url": "http://conserver/vcon/"}, "url"),
        ({"ingress_lists": ["a", "b"]}, "ingress_lists"),
        ({"mode": "vcon", "ingress_lists": ["a,b"]}, "ingress_lists"),
        ({"token": ""}, "token"),
        ({"token": "secret\nX-Evil: 1"}, "token"),
        ({"admin_token": "sécret"}, "admin_token"),
        ({"url": "https://conserver", "ca_file": "/nowhere/ca.pem"}, "ca_file"),
    ],
)
def test_configurations_that_cannot_work_say_where(options, path):
    options = {"url": "http://127.0.0.1:8000/api", "ingress_lists": ["a"], "token": "key", "name": "main"} | options
    with pytest.raises(ConfigError) as caught:
        ConserverSink(ConserverConfig(**options))
    assert caught.value.path == f"sinks.main.{path}"
    assert "secret" not in str(caught.value).replace("put a secret", "")


def test_a_configuration_that_is_printed_keeps_its_secrets():
    config = ConserverConfig(url="https://c", ingress_lists=["a"], token="secret-1", admin_token="secret-2")
    assert "secret" not in f"{config} {config!r}"


async def test_certificates_are_verified_against_the_system_or_ca_file(tmp_path, conserver, make):
    cert, key = certificate(tmp_path)
    tls = Served(str(cert), str(key), "", "conserver").context
    await conserver.down()
    await conserver.up(tls=tls)
    url = conserver.url
    assert url.startswith("https://")
    with pytest.raises(Retry, match="tls") as caught:
        await make(url=url).deliver(sealed(1))
    assert caught.value.whole_sink
    assert (await make(url=url, ca_file=str(cert)).deliver(sealed(1))).status == 204
    assert (await make(url=url, tls_verify=False).deliver(sealed(1))).status == 204


def test_an_open_api_needs_no_token():
    ConserverSink(ConserverConfig(url="http://127.0.0.1:8000", ingress_lists=["a"], mode="vcon"))
