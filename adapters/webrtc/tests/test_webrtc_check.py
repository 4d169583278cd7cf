from __future__ import annotations

import asyncio
import subprocess
import sys
import tomllib
from pathlib import Path

import msgspec
import pytest
from aiortc.rtcicetransport import connection_kwargs

from vcond.sdk.contract import ConfigError
from vcond.testing.host import MemoryHost
from vcond_webrtc import WebRtcAdapter, WebRtcConfig, peer
from vcond_webrtc.unit import forbids_executable_memory

TOP = Path(__file__).resolve().parents[3]
# prctl(2): PR_SET_MDWE, PR_MDWE_REFUSE_EXEC_GAIN, which is what MemoryDenyWriteExecute=yes amounts to here.
DENIED = "import ctypes, sys; sys.exit(77 if ctypes.CDLL(None).prctl(65, 1, 0, 0, 0) else 0)"
PROBE = """
import ctypes
assert ctypes.CDLL(None).prctl(65, 1, 0, 0, 0) == 0
from vcond_webrtc import peer
from vcond.sdk.contract import ConfigError
try:
    peer.available()
except ConfigError as why:
    print(why)
"""


async def levels(**config) -> dict[str, tuple[str, str]]:
    adapter = WebRtcAdapter(WebRtcConfig(**config))
    return {found.what: (found.level, found.detail + found.fix) async for found in adapter.check()}


async def test_check_tells_where_people_and_publishers_go():
    found = await levels(public_url="https://edge.example.com/", secret="s" * 32, addresses=())
    assert found["URL for publishers"] == (
        "ok",
        "WHIP endpoint https://edge.example.com/whip, page https://edge.example.com/webrtc",
    )
    assert found["addresses that take media"] == ("ok", "all of this machine")
    assert {level for level, _ in found.values()} == {"ok"}


async def test_check_warns_of_what_will_not_work():
    found = await levels(public_url="http://edge.example.com")
    assert found["URL for publishers"][0] == "error"
    assert found["addresses that take media"][0] == "warning"
    assert found["tokens of publishers"][0] == "warning"
    assert (await levels())["URL for publishers"][0] == "warning"
    assert (await levels(addresses=("203.0.113.7",)))["addresses that take media"][0] == "error"
    assert (await levels(public_url="http://127.0.0.1:8470"))["URL for publishers"][0] == "ok"


async def test_check_counts_the_ports():
    what = "addresses that take media"
    told = {"addresses": (), "max_sessions": 100}
    assert (await levels(ports="40000-40099", **told))[what] == ("ok", "all of this machine, UDP ports 40000-40099")
    level, text = (await levels(ports="40000-40098", **told))[what]
    assert level == "warning"
    assert "99 UDP ports" in text


def test_the_sample_has_every_setting_with_its_default_where_one_can_be():
    sample = tomllib.loads((TOP / "adapters" / "webrtc" / "sample.toml").read_text())["adapters"]["webrtc"]
    assert set(sample) == {field.name for field in msgspec.structs.fields(WebRtcConfig)}
    told = msgspec.to_builtins(msgspec.convert(sample, WebRtcConfig))
    usual = msgspec.to_builtins(WebRtcConfig())
    assert {name for name in told if told[name] != usual[name]} == {"public_url", "secret", "addresses"}


def test_the_pages_name_the_drop_in_that_the_adapter_asks_for():
    dropped = (TOP / peer.DROP_IN).read_text()
    assert "\nMemoryDenyWriteExecute=no\n" in dropped
    for page in ("README.md", "vcond_webrtc/setup.md"):
        text = (TOP / "adapters" / "webrtc" / page).read_text()
        assert "MemoryDenyWriteExecute=yes" in text
        assert f"({'../' * 2}{peer.DROP_IN})" in text
        assert "/etc/systemd/system/vcond.service.d/webrtc.conf" in text


@pytest.mark.parametrize(("told", "forbidden"), [("yes", True), ("no", False), ("", None)])
async def test_the_unit_is_asked(tmp_path: Path, told, forbidden):
    systemctl = tmp_path / "systemctl"
    systemctl.write_text(f"#!/bin/sh\necho {told}\n")
    systemctl.chmod(0o755)
    assert await forbids_executable_memory(str(systemctl)) is forbidden
    assert await forbids_executable_memory(str(tmp_path / "none")) is None


def test_where_memory_may_not_be_executable_the_drop_in_is_named():
    if subprocess.run([sys.executable, "-c", DENIED], check=False).returncode == 77:
        pytest.skip("this kernel has no PR_SET_MDWE (Linux 6.3)")
    done = subprocess.run([sys.executable, "-c", PROBE], check=True, capture_output=True, text=True)
    assert "MemoryDenyWriteExecute=no" in done.stdout
    assert "vcond.service.d/webrtc.conf" in done.stdout


def test_importing_the_adapter_imports_nothing_heavy():
    code = "import vcond_webrtc, sys; print([m for m in ('aiortc', 'av', 'OpenSSL') if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], check=True, capture_output=True).stdout == b"[]\n"


def test_a_missing_extra_is_named(monkeypatch):
    async def main() -> None:
        async with MemoryHost("webrtc") as host:
            await WebRtcAdapter(WebRtcConfig()).run(host)

    monkeypatch.setitem(sys.modules, "aiortc", None)
    with pytest.raises(ConfigError, match=r"make install WITH=webrtc"):
        asyncio.run(main())


@pytest.mark.parametrize(
    ("config", "wrong"),
    [
        ({"page": "/whip"}, "at or below"),
        ({"page": "/whip/page"}, "at or below"),
        ({"addresses": ("1.2.3",)}, "not an IP address"),
        ({"advertise": ":::"}, "not an IP address"),
        ({"proxies": ("a.b",)}, "not an IP address"),
        ({"ports": "50000-40000"}, "must be a range of ports"),
        ({"turn": "turn:t.example.com", "turn_secret": "s", "turn_user": "u"}, "replaces turn_user"),
    ],
)
def test_values_that_cannot_work_together_are_refused(config, wrong):
    with pytest.raises(ConfigError, match=wrong):
        WebRtcAdapter(WebRtcConfig(**config))


@pytest.mark.parametrize(
    ("server", "lawful"),
    [
        ({"stun": "stun:stun.example.com:3478"}, True),
        ({"stun": "stuns:stun.example.com"}, False),
        ({"turn": "turn:192.0.2.1"}, True),
        ({"turn": "turn:t.example.com:3478?transport=tcp"}, True),
        ({"turn": "turns:t.example.com:5349?transport=tcp"}, True),
        ({"turn": "turns:t.example.com?transport=udp"}, False),
        ({"turn": "turn:t.example.com?x=y"}, False),
        ({"turn": 'turn:t.example.com>; rel="x'}, False),
    ],
)
def test_servers_are_such_as_the_library_takes(server, lawful):
    if not lawful:
        with pytest.raises(msgspec.ValidationError):
            msgspec.convert(server, WebRtcConfig)
        return
    taken = connection_kwargs(peer._servers(msgspec.convert(server, WebRtcConfig), 0))
    assert {name for name in taken if name.endswith("_server")} == {f"{next(iter(server))}_server"}


async def test_a_key_that_is_too_short_is_refused_before_anything_is_served():
    assert (await levels(secret="short"))["tokens of publishers"][0] == "error"
    async with MemoryHost("webrtc") as host:
        with pytest.raises(ConfigError, match="32 bytes"):
            await WebRtcAdapter(WebRtcConfig(secret="short")).run(host)
        assert not host.attachments
