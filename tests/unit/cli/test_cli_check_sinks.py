"""``vcond check`` about sinks: what would hold them later is found before, with address or path and the remedy."""

from __future__ import annotations

import os
import pwd
import ssl
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from aiohttp import web
from certificates import certificate
from cryptography import x509
from fake_conserver import FakeConserver

from vcond.cli import check as check_module
from vcond.cli.check import _rest, _same_receiver, _sink, _unheard
from vcond.cli.owner import as_daemon
from vcond.config import Config
from vcond.delivery import FormedSink
from vcond.delivery.sinks import conserver as module
from vcond.delivery.sinks.conserver import ConserverConfig, ConserverSink
from vcond.delivery.sinks.folder import FolderConfig, FolderSink
from vcond.speech.config import SpeechConfig
from vcond.speech.engine_choice import Choice

KEY, API = "list-key", "api-token"


@pytest.fixture(autouse=True)
def no_pause(monkeypatch):
    monkeypatch.setattr(module, "QUEUE_PAUSE", 0.001)


@pytest.fixture
async def conserver():
    async with FakeConserver(ingress_auth={"edge": KEY, "other": "x"}, tokens=[API]) as running:
        yield running


def sink_of(url, **options):
    base = {"url": url, "ingress_lists": ["edge"], "token": KEY, "connect_timeout": 5}
    return ConserverSink(ConserverConfig(**(base | options)))


async def rows(sink, tmp_path):
    return [one async for one in _sink(FormedSink(sink, folder=tmp_path), f"sink {sink.name}")]


@pytest.mark.parametrize(
    ("options", "level", "words"),
    [
        ({"admin_token": API}, "ok", "accepts the key and is read by chain main"),
        ({"admin_token": API, "token": "wrong"}, "error", "`token` is not a key of this list"),
        ({"admin_token": API, "ingress_lists": ["zzz"]}, "error", "has no such list"),
        ({"admin_token": "wrong"}, "error", "refuses `admin_token` (403)"),
        ({}, "ok", "its key was not tested"),
        ({"mode": "vcon", "token": API}, "ok", "is read by chain main"),
        ({"mode": "vcon", "token": "wrong"}, "error", "refuses `token` (403)"),
        ({"mode": "vcon", "token": API, "ingress_lists": ["edge", "zzz"]}, "error", "list zzz: no chain reads it"),
    ],
)
async def test_key_and_lists_are_found_wrong_before_a_call(conserver, tmp_path, options, level, words):
    found = await rows(sink_of(conserver.url, **options), tmp_path)
    assert found[0].level == "ok"
    worst = next((one for one in found if one.level == "error"), found[-1])
    assert (worst.level, words in worst.detail) == (level, True), worst
    assert worst.fix or level == "ok"
    assert conserver.tries == 0
    assert not any(KEY in f"{one.detail}{one.fix}" for one in found)


async def test_a_list_with_a_key_that_no_chain_reads(conserver, tmp_path):
    conserver.chains = {"main": {"ingress_lists": ["other"]}, "odd": None, "odder": {"ingress_lists": "edge"}}
    found = await rows(sink_of(conserver.url, admin_token=API), tmp_path)
    assert [one.level for one in found] == ["ok", "error"]
    assert "no chain reads it" in found[1].detail


async def test_without_admin_token_a_list_that_does_not_get_shorter_is_noticed(conserver, tmp_path):
    conserver.lists["edge"] = ["a", "b"]
    found = await rows(sink_of(conserver.url), tmp_path)
    assert [one.level for one in found] == ["ok", "warning"]
    assert "2 vCons wait in it, and nothing reads them" in found[1].detail


@pytest.mark.parametrize(
    ("status", "body", "words"),
    [
        (200, "<!doctype html><title>Welcome to nginx!</title>", "nginx answers at"),
        (200, '"ok"', "not a conserver"),
        (404, "404 page not found", "Traefik at"),
        (302, "", "answers 302"),
        (403, "<html>no</html>", "a web page at"),
    ],
)
async def test_something_else_at_the_address_is_an_error(tmp_path, status, body, words):
    async def answer(_request):
        return web.Response(status=status, text=body)

    app = web.Application()
    app.router.add_route("*", "/{any:.*}", answer)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    [found] = await rows(sink_of(f"http://127.0.0.1:{runner.addresses[0][1]}/api"), tmp_path)
    await runner.cleanup()
    assert found.level == "error"
    assert words in found.detail
    assert "correct `url`" in found.fix or status == 403


async def test_nobody_there_names_the_address(conserver, tmp_path):
    await conserver.down()
    [found] = await rows(sink_of(conserver.url), tmp_path)
    assert found.level == "warning"
    assert found.detail.startswith(f"unreachable: no connection to {conserver.url}/version")
    assert "check that the receiver runs" in found.fix


@pytest.mark.parametrize(
    ("name", "days", "trusted", "reason"),
    [
        ("localhost", 2, False, "tls:self-signed"),
        ("elsewhere.example.com", 2, True, "tls:name"),
        ("localhost", -1, True, "tls:expired"),
    ],
)
async def test_what_is_wrong_with_a_certificate(conserver, tmp_path, name, days, trusted, reason):
    pair = certificate(tmp_path, names=[x509.DNSName(name)], days=days)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(pair)
    await conserver.down()
    await conserver.up(tls=tls)
    url = conserver.url.replace("127.0.0.1", "localhost")
    [found] = await rows(sink_of(url, ca_file=str(pair) if trusted else ""), tmp_path)
    assert (found.level, found.detail.split(": ")[0]) == ("error", reason)
    assert found.fix


async def test_https_where_no_tls_is_spoken(conserver, tmp_path):
    [found] = await rows(sink_of(conserver.url.replace("http:", "https:")), tmp_path)
    assert found.level == "error"
    assert found.detail.startswith("tls:plain")
    assert "use http://" in found.fix


async def test_two_sinks_to_one_conserver_are_a_warning(conserver, tmp_path):
    made = [
        FormedSink(sink_of(url, name=name), folder=tmp_path)
        for url, name in ((conserver.url, "a"), (conserver.url.removesuffix("/api"), "b"))
    ]
    [found] = _same_receiver([*made, FormedSink(FolderSink(FolderConfig(path=str(tmp_path))), folder=tmp_path)])
    assert found.level == "warning"
    assert "a, b" in found.what


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that every user reaches, which those of pytest are not."""
    with tempfile.TemporaryDirectory(prefix="vcond-") as name:
        path = Path(name).resolve()
        path.chmod(0o755)
        yield path


@pytest.mark.skipif(os.geteuid() != 0, reason="root looks as another user")
@pytest.mark.parametrize("below", ["", "2026/01"])
async def test_root_looks_at_a_folder_as_the_daemons_user(tmp_path, open_folder, below):
    nobody = pwd.getpwnam("nobody")
    state = open_folder / "state"
    state.mkdir()
    os.chown(state, nobody.pw_uid, nobody.pw_gid)
    away = open_folder / "away"
    away.mkdir(0o755)
    with as_daemon(state) as user:
        [found] = await rows(FolderSink(FolderConfig(path=str(away / below))), tmp_path)
    assert user == "nobody"
    assert os.geteuid() == 0
    assert found.level == "error"
    for word in (str(away), "Permission denied", "root:root", "0755", "nobody"):
        assert word in found.detail
    assert "chown -R nobody: " in found.fix
    os.chown(away, nobody.pw_uid, nobody.pw_gid)
    with as_daemon(state):
        [found] = await rows(FolderSink(FolderConfig(path=str(away / below))), tmp_path)
    assert found.level == "ok"


async def test_a_path_that_is_a_file(tmp_path):
    (tmp_path / "x").write_text("")
    [found] = await rows(FolderSink(FolderConfig(path=str(tmp_path / "x" / "y"))), tmp_path)
    assert found.level == "error"
    assert str(tmp_path / "x") in found.detail


@pytest.mark.parametrize(
    ("engine", "content", "count"), [("none", "redacted", 1), ("none", "full", 0), ("vosk", "redacted", 0)]
)
def test_redacted_vcons_without_an_engine_have_no_recording_and_that_is_said_before(
    tmp_path, monkeypatch, engine, content, count
):
    sink = FormedSink(FolderSink(FolderConfig(path=str(tmp_path))), folder=tmp_path, content=content)
    monkeypatch.setattr(check_module, "choose", lambda one: Choice("" if one.engine == "none" else one.engine, ""))
    config = Config(speech=SpeechConfig(engine=engine))
    found = _unheard(config, [sink])
    assert [(one.level, one.what) for one in found] == [("warning", "sink folder")] * count


def test_sinks_that_all_have_a_match_leave_calls_to_nobody():
    some = {"type": "folder", "path": "/x", "match": {"adapter": "twilio"}}
    assert [one.level for one in _rest(Config(sinks=[some]))] == ["warning"]
    assert _rest(Config(sinks=[some, some | {"name": "rest", "match": {}}])) == _rest(Config()) == []
