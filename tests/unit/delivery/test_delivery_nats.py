"""The sink ``nats`` against a real nats-server."""

from __future__ import annotations

import ssl

import pytest
from delivery_kit import body_of, record, uuid_of
from endure_kit import Endures, trusts_only_its_authority
from nats.js.api import DiscardPolicy, StreamConfig
from nats_rig import NatsRig

from vcond.base.errors import ConfigError
from vcond.delivery.sinks.nats import NatsConfig, NatsSink
from vcond.sdk.sink import Retry
from vcond.testing.certificates import certificate
from vcond.testing.sinks import SinkConformance

pytestmark = pytest.mark.peer


class TestNatsConformance(SinkConformance):
    @pytest.fixture
    def rig(self, tmp_path):
        return NatsRig(tmp_path)


class TestNatsEndures(Endures):
    @pytest.fixture
    def rig(self, tmp_path):
        return NatsRig(tmp_path)


class TestNatsOfLargeMessagesEndures(Endures):
    """Without an object store, where the server takes 32 MB."""

    @pytest.fixture
    def rig(self, tmp_path):
        return NatsRig(tmp_path, "max_payload: 32MB")


@pytest.fixture
async def rig(tmp_path):
    made = NatsRig(tmp_path)
    await made.start()
    yield made
    await made.stop()


async def stream_is(rig, **more):
    client = await rig.client()
    await client.jetstream().update_stream(StreamConfig(name="VCONS", subjects=["vcons.>"], **more))
    await client.close()


async def test_a_message_has_uuid_and_form_as_its_id_and_comes_once(rig):
    sink = rig.sink()
    first = await sink.deliver(record())
    again = await sink.deliver(record())
    assert (first.target, again.target, again.answer) == ("VCONS/1", "VCONS/1", "duplicate")
    await sink.deliver(record(form="signed"))
    await sink.close()
    client = await rig.client()
    message = await client.jetstream().get_msg("VCONS", 1)
    assert (message.subject, message.data) == (f"vcons.{uuid_of(1)}", body_of(1))
    assert message.headers["Nats-Msg-Id"] == f"{uuid_of(1)}.plain"
    assert (await client.jetstream().stream_info("VCONS")).state.messages == 2
    await client.close()


async def test_a_server_that_was_restarted_is_reached_again(rig):
    sink = rig.sink()
    await sink.deliver(record(1))
    await rig.server.stop()
    with pytest.raises(Retry) as why:
        await sink.deliver(record(2))
    assert why.value.whole_sink
    await rig.server.start()
    await sink.deliver(record(2))
    await sink.close()
    assert list(await rig.received()) == [uuid_of(1), uuid_of(2)]


async def test_what_is_larger_than_a_message_waits_where_there_is_no_bucket(rig):
    sink = rig.sink(bucket="")
    for size in (1 << 20, (1 << 20) - 4096):  # nats-py counts no headers
        with pytest.raises(Retry) as why:
            await sink.deliver(record(size=size))
        assert (why.value.too_large, why.value.held) == (True, False)
        assert "max_payload" in why.value.hint
        assert "`bucket`" in why.value.hint
    await sink.deliver(record(2))
    assert {one.level for one in await sink.look()} == {"ok", "warning"}
    await sink.close()


async def test_a_stream_that_is_full_is_waited_for(rig):
    await stream_is(rig, discard=DiscardPolicy.NEW, max_bytes=3000, duplicate_window=86_400)
    sink = rig.sink()
    await sink.deliver(record(1, 1000))
    with pytest.raises(Retry) as why:
        await sink.deliver(record(2, 2000))
    assert (why.value.reason, why.value.whole_sink, why.value.held) == ("full", True, False)
    assert "max_bytes" in why.value.hint
    await stream_is(rig, discard=DiscardPolicy.NEW, max_bytes=-1, duplicate_window=86_400)
    await sink.deliver(record(2, 2000))
    await sink.close()


async def test_a_stream_that_drops_the_oldest_holds_the_sink(rig):
    await stream_is(rig, discard=DiscardPolicy.OLD, max_bytes=3000, duplicate_window=60)
    sink = rig.sink()
    with pytest.raises(Retry) as why:
        await sink.deliver(record())
    assert (why.value.reason, why.value.held) == ("stream-loses", True)
    assert "--discard new" in why.value.hint
    await stream_is(rig, discard=DiscardPolicy.OLD, max_bytes=-1, duplicate_window=60)
    await sink.deliver(record())  # without a limit nothing is dropped
    assert [one.level for one in await sink.look()] == ["ok", "warning"]
    await sink.close()


@pytest.mark.parametrize(
    ("more", "reason", "says"),
    [
        ({"password": "wrong"}, "refused", "`password`"),
        ({"user": "", "password": "", "token": "wrong"}, "refused", "`token`"),
        ({"stream": "OTHER"}, "no-stream", "OTHER"),
        ({"bucket": "other"}, "no-stream", "`bucket`"),
    ],
)
async def test_what_is_wrong_holds_the_sink_and_is_named(rig, more, reason, says):
    sink = rig.sink(**more)
    with pytest.raises(Retry) as why:
        await sink.deliver(record(size=2 << 20))
    assert (why.value.reason, why.value.held) == (reason, True)
    assert says in why.value.hint
    with pytest.raises(Retry):
        await sink.look()
    await sink.close()


async def test_a_subject_that_the_stream_does_not_take(rig):
    sink = rig.sink(subject="calls.{uuid}")
    with pytest.raises(Retry) as why:
        await sink.deliver(record())
    assert (why.value.reason, why.value.held) == ("no-stream", True)
    assert "error" in [one.level for one in await sink.look()]
    await sink.close()


async def test_an_erasure_takes_the_object_too(rig):
    sink = rig.sink()
    await sink.deliver(record(1, 2 << 20))
    await sink.erase(uuid_of(1))
    await sink.close()
    client = await rig.client()
    stream = client.jetstream()
    assert (await stream.stream_info("VCONS")).state.messages == 0
    chunks = await stream.stream_info("OBJ_vcons", subjects_filter="$O.vcons.C.>")
    assert not chunks.state.subjects
    await client.close()


async def test_nothing_secret_is_said_to_a_server_without_tls(rig):
    sent = []
    rig.relay.lose(sent.append)
    sink = rig.sink(url=f"tls://127.0.0.1:{rig.relay.port}")
    with pytest.raises(Retry) as why:
        await sink.deliver(record())
    assert (why.value.reason, why.value.held) == ("tls:plain", True)
    assert sent == []
    await sink.close()


async def test_a_certificate_that_does_not_fit_holds_the_sink(tmp_path):
    cert, key = certificate(tmp_path)
    rig = NatsRig(tmp_path, f'tls {{ cert_file: "{cert}", key_file: "{key}" }}')
    rig.scheme, rig.tls = "tls", {"tls": ssl.create_default_context(cafile=str(cert))}
    await trusts_only_its_authority(rig, cert)


@pytest.mark.parametrize(
    ("more", "key"),
    [
        ({"url": "http://x"}, "url"),
        ({"url": "nats://u:p@x:4222"}, "url"),
        ({"token": "t", "user": "u"}, "token"),
        ({"subject": "vcons"}, "subject"),
        ({"subject": "vcons.{uuid}.>"}, "subject"),
    ],
)
def test_what_cannot_work_is_said_before_it_runs(more, key):
    with pytest.raises(ConfigError) as why:
        NatsSink(NatsConfig(**{"url": "nats://127.0.0.1:4222", "stream": "VCONS"} | more))
    assert why.value.path == f"sinks.nats.{key}"


def test_no_secret_is_in_what_a_configuration_says_of_itself():
    assert "hush" not in repr(NatsConfig(url="nats://x", stream="V", user="u", password="hush", token="hush"))
