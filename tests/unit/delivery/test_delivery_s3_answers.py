"""What a store that speaks S3 answers, and its signature, without a store."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from delivery_kit import uuid_of
from yarl import URL

from vcond.base.errors import ConfigError
from vcond.delivery.sinks.http_client import Answer
from vcond.delivery.sinks.s3 import S3Config, S3Sink
from vcond.delivery.sinks.s3_answers import not_stored, tags
from vcond.delivery.sinks.s3_signature import EMPTY, query, signed
from vcond.sdk.sink import OutgoingVcon, Refused, Retry

AT = URL("https://s3.example.com/vcons")
CONFIG = {"url": "https://s3.example.com", "bucket": "vcons", "access_key": "AKIA", "secret_key": "hush"}


def test_the_signature_is_that_of_the_s3_reference():
    """Example "GET Object" of "Authenticating Requests: Using the Authorization Header" of the S3 API reference."""
    made = signed(
        "GET", "examplebucket.s3.amazonaws.com", "/test.txt", {}, {"Range": "bytes=0-9"}, sha256=EMPTY,
        now=datetime(2013, 5, 24, tzinfo=UTC), region="us-east-1",
        access_key="AKIAIOSFODNN7EXAMPLE", secret_key="wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
    )  # fmt: skip
    expected = "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41"
    assert made["Authorization"].endswith(f"Signature={expected}")


def test_a_query_is_in_order_and_encoded():
    assert query({"prefix": "a/b c", "max-keys": "1", "uploads": ""}) == "max-keys=1&prefix=a%2Fb%20c&uploads="


@pytest.mark.parametrize(
    ("status", "code", "kind", "says"),
    [
        (403, "AccessDenied", "held", "s3:PutObject"),
        (403, "RequestTimeTooSkewed", "held", "clock"),
        (400, "AuthorizationHeaderMalformed", "held", "`region`"),
        (301, "PermanentRedirect", "held", "`url`"),
        (400, "InvalidRequest", "held", "object lock"),
        (400, "EntityTooLarge", "too_large", "limit"),
        (507, "XMinioStorageFull", "whole_sink", "room"),
        (403, "QuotaExceeded", "whole_sink", "quota"),
        (503, "SlowDown", "whole_sink", ""),
        (400, "BadDigest", "", ""),
        (409, "ConditionalRequestConflict", "", ""),
        (200, "InternalError", "", ""),
        (418, "", "held", "url"),
    ],
)
def test_what_a_code_means(status, code, kind, says):
    body = f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>x</Message></Error>".encode() if code else b""
    why = not_stored(Answer(status, {}, body), AT, locks=True)
    assert {name for name in ("held", "too_large", "whole_sink") if getattr(why, name)} - {"whole_sink"} == (
        {kind} - {"whole_sink", ""}
    )
    assert why.whole_sink == (kind in {"held", "whole_sink"})
    assert says in why.hint
    assert str(status) in why.detail


def test_values_of_xml_are_read_with_their_entities():
    assert list(tags(b"<a><Key>x&amp;quot;y</Key><KeyMarker>no</KeyMarker><Key></Key></a>", "Key")) == ["x&quot;y", ""]


@pytest.mark.parametrize(
    ("more", "key"),
    [
        ({"lock": "GOVERNANCE"}, "lock_days"),
        ({"lock_days": 3}, "lock_days"),
        ({"kms_key": "k"}, "kms_key"),
        ({"path": "vcons.json"}, "path"),
        ({"path": "{party}/{uuid}"}, "path"),
        ({"secret_key": ""}, "secret_key"),
        ({"url": "s3://vcons"}, "url"),
    ],
)
def test_what_cannot_work_is_said_before_it_runs(more, key):
    with pytest.raises(ConfigError) as why:
        S3Sink(S3Config(**(CONFIG | more)))
    assert why.value.path == f"sinks.s3.{key}"


async def test_a_store_that_knows_no_conditions_is_asked_for_none_any_more(monkeypatch):
    sink = S3Sink(S3Config(**CONFIG))
    asked = []

    async def ask(method, key, parameters=None, *, headers=None, body=b"", limit=0):
        asked.append((method, "If-None-Match" in (headers or {})))
        return Answer(404 if method == "HEAD" else 501 if "If-None-Match" in headers else 200, {}, b"")

    monkeypatch.setattr(sink, "_ask", ask)
    for n in (1, 2):
        await sink.deliver(OutgoingVcon(uuid_of(n), b"{}", "00"))
    assert asked == [("HEAD", False), ("PUT", True), ("PUT", False), ("HEAD", False), ("PUT", False)]


@pytest.mark.parametrize("deletes", [True, False])
@pytest.mark.parametrize(
    "versions", [(501, b"<Error><Code>NotImplemented</Code></Error>"), (200, b"<ListBucketResult/>")]
)
async def test_a_store_that_knows_no_versions_is_told_to_delete_and_looked_at(monkeypatch, versions, deletes):
    sink, there = S3Sink(S3Config(**CONFIG)), {uuid_of(1)}

    async def ask(method, key, parameters=None, *, headers=None, body=b"", limit=0):
        if "versions" in (parameters or {}):
            return Answer(versions[0], {}, versions[1])
        if method == "DELETE" and deletes:
            there.clear()
        return Answer(204 if method == "DELETE" else 200 if there else 404, {}, b"")

    monkeypatch.setattr(sink, "_ask", ask)
    if deletes:
        assert (await sink.erase(uuid_of(1))).status == 404
    else:
        with pytest.raises(Retry, match="still-there"):
            await sink.erase(uuid_of(1))


async def test_other_bytes_under_the_same_key_are_never_replaced(monkeypatch):
    sink = S3Sink(S3Config(**CONFIG))

    async def ask(*_arguments, **_options):
        return Answer(200, {"Content-Length": "2"}, b"")

    monkeypatch.setattr(sink, "_ask", ask)
    with pytest.raises(Refused, match="other-bytes-there"):
        await sink.deliver(OutgoingVcon(uuid_of(1), b"{}", "00"))


def test_no_secret_is_in_what_a_configuration_says_of_itself():
    assert "hush" not in repr(S3Config(**CONFIG))
