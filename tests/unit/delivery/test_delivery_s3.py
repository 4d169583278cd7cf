"""The sink ``s3`` against moto's server, which checks each signature with botocore."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from delivery_kit import body_of, record, uuid_of
from endure_kit import Endures
from s3_rig import S3Rig, S3Store

from vcond.delivery.sinks.s3 import PART, SINGLE
from vcond.sdk.sink import Refused, Retry
from vcond.testing.sinks import SinkConformance

pytestmark = pytest.mark.peer


@pytest.fixture(scope="module")
def store():
    made = S3Store()
    yield made
    made.stop()


class TestS3Conformance(SinkConformance):
    @pytest.fixture
    def rig(self, store):
        return S3Rig(store, "versioned")


class TestS3Endures(Endures):
    @pytest.fixture
    def rig(self, store):
        return S3Rig(store, "versioned")


@pytest.fixture
async def rig(store):
    made = S3Rig(store, "versioned")
    await made.start()
    yield made
    await made.stop()


@pytest.fixture
async def sink(rig):
    made = rig.sink()
    yield made
    await made.close()


async def test_an_object_says_what_it_is_and_where(rig, sink):
    receipt = await sink.deliver(record())
    key = f"vcons/2026/01/05/{uuid_of(1)}.json"
    assert receipt.target == f"http://127.0.0.1:{rig.relay.port}/{rig.bucket}/{key}"
    answer = await sink._ask("HEAD", key)
    assert answer.headers["x-amz-meta-vcon-sha512"] == record().sha512
    assert answer.headers["Content-Type"] == "application/vcon"


async def test_a_large_one_goes_in_parts_and_what_an_earlier_try_left_is_aborted(rig, sink):
    large = record(size=SINGLE + PART)
    key = sink._places.of(large.uuid)
    await sink._done("POST", key, {"uploads": ""})
    left = await sink._ask("GET", "", {"uploads": ""})
    assert b"<UploadId>" in left.body
    await sink.deliver(large)
    left = await sink._ask("GET", "", {"uploads": ""})
    assert b"<UploadId>" not in left.body
    answer = await sink._ask("HEAD", key)
    assert answer.headers["ETag"].strip('"').endswith("-4"), "of four parts"
    assert await rig.received() == {large.uuid: [large.body]}
    before = rig.relay.passed
    await sink.deliver(large)
    assert rig.relay.passed - before < 10_000, "what is there is not sent again"


async def test_encryption_and_lock_are_asked_for(rig):
    bucket = rig.store.bucket("locked")
    sink = rig.sink(bucket=bucket, encryption="aws:kms", kms_key="key-1", lock="GOVERNANCE", lock_days=30)
    assert [one.level for one in await sink.look()] == ["ok"]
    for size in (0, SINGLE + 1):
        one = record(n=size, size=size)
        await sink.deliver(one)
        answer = await sink._ask("HEAD", sink._places.of(one.uuid))
        assert answer.headers["x-amz-server-side-encryption"] == "aws:kms"
        assert answer.headers["x-amz-server-side-encryption-aws-kms-key-id"].endswith("key-1")
    with pytest.raises(Refused) as why:  # moto tells nobody until when, and keeps to it for what came at once
        await sink.erase(record(n=0).uuid)
    assert why.value.reason == "locked"
    about = sink._about(record())
    until = datetime.fromisoformat(about["x-amz-object-lock-retain-until-date"])
    assert about["x-amz-object-lock-mode"] == "GOVERNANCE"
    assert abs(until - datetime.now(UTC) - timedelta(days=30)) < timedelta(minutes=5)
    await sink.close()


async def test_a_bucket_without_lock_is_found_beforehand(rig):
    sink = rig.sink(lock="COMPLIANCE", lock_days=1)
    assert [one.level for one in await sink.look()] == ["ok", "error"]
    await sink.close()


@pytest.mark.parametrize(
    ("more", "reason", "says"),
    [
        ({"secret_key": "wrong"}, "SignatureDoesNotMatch", "secret_key"),
        ({"access_key": "AKIAWRONG"}, "InvalidAccessKeyId", "access_key"),
        ({"bucket": "not-there"}, "NoSuchBucket", "bucket"),
    ],
)
async def test_what_is_wrong_holds_the_sink_and_is_named(rig, more, reason, says):
    sink = rig.sink(**more)
    with pytest.raises(Retry) as why:
        await sink.deliver(record())
    assert (why.value.reason, why.value.held) == (reason, True)
    assert f"`{says}`" in why.value.hint
    with pytest.raises(Retry, match=reason):
        await sink.look()
    await sink.close()


async def test_a_key_that_may_only_put_delivers_and_cannot_erase(rig):
    sink = rig.sink(**rig.store.told["blind"])
    await sink.deliver(record())
    assert await rig.received() == {uuid_of(1): [body_of(1)]}
    assert [one.level for one in await sink.look()] == ["warning"]
    with pytest.raises(Refused, match="cannot-erase"):
        await sink.erase(uuid_of(1))
    await sink.close()


async def test_every_version_is_erased_and_those_of_others_stay(rig, sink):
    key = sink._places.of(uuid_of(1))
    for body in (b"one", b"two"):
        await sink._done("PUT", key, body=body)
    await sink._ask("DELETE", key)  # leaves a marker, and both versions
    await sink._done("PUT", f"{key}.other", body=b"three")
    await sink.erase(uuid_of(1))
    assert list(await rig.received()) == [f"{uuid_of(1)}.json.other"]
