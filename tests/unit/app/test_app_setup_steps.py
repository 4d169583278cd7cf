"""``vcond setup``: the steps of each plug-in with the values of a configuration, and no secret."""

from __future__ import annotations

import re
import tomllib
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from vcond.app import setup_steps
from vcond.app.installed import ADAPTERS, SINKS, installed
from vcond.app.setup_steps import _BLOCK, _brought, _Places, steps
from vcond.base.errors import ConfigError, StorageError
from vcond.cli.setup import setup_text, write_files

HUSH = "hush-hush-hush"
TREE = tomllib.loads(f"""
[web]
listen = "10.0.0.5:9000"
[adapters.berlin]
type = "asterisk"
url = "http://[2001:db8::1]:8089/"
user = "edge"
password = "${{credential:ari-password}}"
internal = ["PJSIP/2??"]
[adapters.freeswitch]
user = "edge@pbx.example.org"
password = "{HUSH}"
port = 8031
directory = "/run/taps"
[adapters.twilio]
path = "/berlin/stream"
public_url = "https://calls.example.org:8443/x"
[adapters.webrtc]
path = "/talk"
page = ""
public_url = "https://calls.example.org"
[adapters.janus]
url = "wss://janus.example.org:8989/ws"
admin_key = "${{env:JANUS_KEY}}"
[adapters.siprec]
listen = ["tls:10.0.0.5:5061", "udp:10.0.0.5:5060"]
allow = ["10.0.0.0/8"]
[adapters.stream]
public_url = "https://calls.example.org"
[[sinks]]
type = "folder"
[[sinks]]
type = "conserver"
url = "https://conserver.example.org/api"
ingress_lists = ["calls"]
token = "${{file:/etc/vcond/conserver.key}}"
[[sinks]]
type = "webhook"
url = "https://hooks.example.org/x"
secret = "{HUSH}"
[[sinks]]
type = "http_put"
url = "https://dav.example.org/{{uuid}}.json"
token = "${{file:/etc/vcond/dav.key}}"
[[sinks]]
type = "nats"
url = "tls://bus.example.org"
stream = "CALLS"
user = "edge"
password = "{HUSH}"
[[sinks]]
type = "sftp"
host = "files.example.org"
user = "edge"
password = "{HUSH}"
[[sinks]]
type = "s3"
url = "https://minio.example.org"
bucket = "archive"
access_key = "EDGE"
secret_key = "{HUSH}"
""")
HERE = {
    "asterisk": ["bindport = 8089", "[edge]\ntype = user", "password = <what is in /etc/credstore/ari-password>", 'user = "edge"',
                 'password = "${credential:ari-password}"', 'internal = ["PJSIP/2??"]'],
    "freeswitch": ['<user id="edge">', 'name="listen-port" value="8031"', "d /run/taps 2770", 'user = "edge@pbx.example.org"',
                   'value="<password of vcond\'s configuration>"', 'password = "change-me"'],
    "twilio": ["reverse_proxy /berlin/stream* 10.0.0.5:9000", "wss://calls.example.org:8443/berlin/stream/TOKEN"],
    "webrtc": ["path /talk* /webrtc*", "https://calls.example.org/webrtc#token=TOKEN", 'page = "/webrtc"'],
    "janus": ["ws_port = 8989", 'admin_key = "<the value of $JANUS_KEY>"', 'admin_key = "${env:JANUS_KEY}"'],
    "siprec": ['listen = ["tls:10.0.0.5:5061", "udp:10.0.0.5:5060"]', 'allow = ["10.0.0.0/8"]', "sip:10.0.0.5:5061"],
    "stream": ["calls.example.org {", "reverse_proxy /stream* 10.0.0.5:9000"],
    "conserver": ["  calls: <what is in /etc/vcond/conserver.key>", "- calls", 'ingress_lists = ["calls"]',
                  'token = "${file:/etc/vcond/conserver.key}"'],
    "webhook": ['url = "https://hooks.example.org/x"', 'secret = "${credential:webhook-secret}"'],
    "nats": ['url = "tls://bus.example.org"', "nats stream add CALLS", "user: edge, password: <password of vcond's configuration>",
             'password = "${credential:nats-password}"'],
    "sftp": ['host = "files.example.org"', "Match User edge"],
    "s3": ['url = "https://minio.example.org"', "arn:aws:s3:::archive/*", 'secret_key = "${credential:s3-secret}"'],
    "http_put": ['url = "https://dav.example.org/{uuid}.json"', 'token = "${file:/etc/vcond/dav.key}"'],
}  # fmt: skip


@pytest.mark.parametrize("name", [*HERE])
def test_the_steps_have_the_values_of_this_configuration_and_no_secret(name: str):
    text = steps(name, TREE).text
    assert [piece for piece in HERE[name] if piece not in text] == []
    assert HUSH not in text


@pytest.mark.parametrize("name", [*HERE])
def test_each_place_is_in_the_text_and_each_block_has_its_name(name: str):
    import msgspec

    text, places = _brought(name, "md"), _brought(name, "toml")
    assert text is not None
    assert places is not None
    told = msgspec.convert(tomllib.loads(places.read_text("utf-8")), _Places)
    assert [value.shown for value in told.values if value.shown not in text.read_text("utf-8")] == []
    assert len(told.files) == len(_BLOCK.findall(text.read_text("utf-8")))
    assert steps(name, {}).text == text.read_text("utf-8"), "without a configuration it is an example"


def test_all_that_are_ours_are_tried():
    assert set(HERE) == {
        name for name in [*installed(ADAPTERS), *installed(SINKS)] if name not in {"example", "folder"}
    }


def test_snippets_are_written_as_files_and_none_is_overwritten(tmp_path: Path):
    config = tmp_path / "vcond.toml"
    config.write_text('[adapters.asterisk]\nurl = "http://10.0.0.9:8089"\npassword = "${credential:not-for-you}"\n')
    out = tmp_path / "out"
    assert write_files("asterisk", config, out) == [
        str(out / "asterisk.md"), str(out / "ari.conf"), str(out / "vcond.d" / "asterisk.toml"),
    ]  # fmt: skip
    assert (
        tomllib.loads((out / "vcond.d" / "asterisk.toml").read_text())["adapters"]["asterisk"]["url"]
        == "http://10.0.0.9:8089"
    )
    assert "[vcond]\ntype = user" in (out / "ari.conf").read_text()
    assert "```" not in (out / "ari.conf").read_text()
    (out / "ari.conf").write_text("mine")
    assert [line for line in write_files("asterisk", config, out) if "left as it is" not in line] == []
    assert (out / "ari.conf").read_text() == "mine"
    with pytest.raises(StorageError, match="cannot write"):
        write_files("asterisk", config, config / "below")


def test_without_a_configuration_the_steps_are_an_example(tmp_path: Path):
    assert "password = change-me" in setup_text("asterisk", tmp_path / "none.toml")
    assert not re.search(r"\]\((?!https?://)", setup_text("asterisk", tmp_path / "none.toml"))


def test_a_sink_of_another_package_may_bring_steps_or_none(tmp_path: Path, monkeypatch):
    for name in ("acmesteps", "acmesilent"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").touch()
    (tmp_path / "acmesteps" / "setup-steps.md").write_text("1. Tell Acme.\n")
    monkeypatch.syspath_prepend(tmp_path)
    sinks = {
        "steps": [EntryPoint("steps", "acmesteps:Sink", "vcond.sinks")],
        "silent": [EntryPoint("silent", "acmesilent:Sink", "vcond.sinks")],
    }
    monkeypatch.setattr(setup_steps, "installed", lambda group: {} if group == ADAPTERS else sinks)
    assert steps("steps", {}).text == "1. Tell Acme.\n"
    for name in ("silent", "nobody"):
        with pytest.raises(ConfigError, match=f"no steps for '{name}'; there are for: steps"):
            steps(name, {})
