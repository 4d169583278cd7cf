"""The configuration: what it refuses, and what it means."""

from __future__ import annotations

import tomllib
from pathlib import Path

import msgspec
import pytest

from vcond.sdk.contract import ConfigError
from vcond_asterisk import Config
from vcond_asterisk.config import split_advertised

SAMPLE = Path(__file__).resolve().parent.parent / "sample.toml"


@pytest.mark.parametrize(
    "values",
    [
        {"url": "ftp://pbx"}, {"url": "http://"}, {"url": "http://user:pw@pbx:8088"}, {"bind": "pbx.example.com"},
        {"bind": "0.0.0.0"}, {"advertise": "a b"}, {"advertise": "pbx:99999"}, {"password": "a", "password_file": "/b"},
    ],
)  # fmt: skip
def test_values_that_cannot_work_are_refused(values):
    with pytest.raises(ConfigError, match=r"adapters\.asterisk\."):
        Config(**values).checked()


@pytest.mark.parametrize(
    "values", [{"app": "a.b"}, {"port": 70000}, {"rate": 44100}, {"timeout": 0}, {"no_such_key": 1}, {"max_calls": 0}]
)
def test_values_out_of_bounds_are_refused_when_read(values):
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(values, Config)


def test_the_sample_is_the_default_and_complete():
    sample = tomllib.loads(SAMPLE.read_text("utf-8"))["adapters"]["asterisk"]
    assert set(sample) == set(Config.__struct_fields__) - {"password_file"}
    read = msgspec.convert(sample, Config).checked()
    assert read.url == Config().url
    assert read.rate == Config().rate


def test_the_password_comes_from_a_file(tmp_path):
    file = tmp_path / "ari"
    file.write_text("from-the-file\n")
    assert Config(password_file=str(file)).secret() == "from-the-file"
    with pytest.raises(ConfigError, match="password_file"):
        Config(password_file=str(tmp_path / "none")).secret()


@pytest.mark.parametrize(
    ("internal", "trunks", "expected"),
    [
        ([], [], (None, None)),
        (["PJSIP/agent*"], [], (True, False)),
        ([], ["PJSIP/trunk*"], (True, False)),
        (["PJSIP/agent*"], ["PJSIP/other"], (True, None)),
    ],
)
def test_who_is_ours(internal, trunks, expected):
    config = Config(internal=internal, trunks=trunks)
    assert (config.inside("PJSIP/agent7"), config.inside("PJSIP/trunk")) == expected


def test_the_advertised_address_gets_a_port():
    assert split_advertised("pbx-side.example", 5000) == "pbx-side.example:5000"
    assert split_advertised("10.0.0.1:77", 5000) == "10.0.0.1:77"
    assert split_advertised("[::1]", 5000) == "[::1]:5000"


def test_the_domain_of_extensions():
    assert Config(url="https://pbx.example.com:8089").host() == "pbx.example.com"
    assert Config(domain="example.org").host() == "example.org"
