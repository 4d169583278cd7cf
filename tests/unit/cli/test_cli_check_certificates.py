"""`vcond check` says when certificates end, whichever section names them."""

import re

import msgspec
import pytest

from vcond.cli.check import CERTIFICATES, _certificates
from vcond.config import Config, WebConfig
from vcond.testing.certificates import certificate


@pytest.mark.parametrize(("days", "level"), [(40, "ok"), (20, "warning"), (-1, "error")])
def test_of_every_section(tmp_path, days: int, level: str):
    cert = str(certificate(tmp_path, days=days + 0.5)[0])
    config = Config(
        web=WebConfig(certificate=cert, client_ca=cert),
        adapters={"asterisk": {"ca": cert}, "siprec": {"certificate": cert, "listen": []}, "twilio": {}},
        sinks=[{"type": "conserver", "name": "main", "ca_file": cert}, {"type": "folder"}],
    )
    found = {one.what: one for one in _certificates(config)}
    assert sorted(found) == [
        "adapters.asterisk.ca", "adapters.siprec.certificate", "sinks.main.ca_file", "web.certificate", "web.client_ca"
    ]  # fmt: skip
    assert {one.level for one in found.values()} == {level}
    says = rf"is valid until \d{{4}}-\d\d-\d\d, {days} days" if days > 0 else r"has expired on \d{4}-\d\d-\d\d"
    assert all(re.fullmatch(f"the certificate {says}", one.detail) for one in found.values())


def test_a_file_that_is_none_is_an_error_with_its_key():
    (found,) = _certificates(Config(web=WebConfig(certificate="/nowhere.pem")))
    assert (found.level, found.what) == ("error", "web.certificate")
    assert "No such file" in found.detail


def test_of_every_door_that_there_is(tmp_path):
    """The API's was left out: whatever section has such a key is looked at, also one that is made tomorrow."""
    cert = str(certificate(tmp_path, days=20.5)[0])
    doors = [
        (field.name, key.name)
        for field in msgspec.structs.fields(Config)
        if isinstance(field.type, type) and issubclass(field.type, msgspec.Struct)
        for key in msgspec.structs.fields(field.type)
        if key.name in CERTIFICATES
    ]
    assert {("web", "certificate"), ("api", "certificate"), ("hub", "certificate"), ("speech", "ca")} <= set(doors)
    for section, key in doors:
        config = msgspec.convert({section: {key: cert}}, Config)
        assert [(one.what, one.level) for one in _certificates(config)] == [(f"{section}.{key}", "warning")]
