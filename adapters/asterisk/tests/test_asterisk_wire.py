"""ARI's events, channels and bridges, as captured and as broken."""

from __future__ import annotations

import contextlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vcond.sdk.contract import ProtocolError
from vcond_asterisk import wire


def test_every_captured_event_is_read_or_of_no_interest(data):
    samples = json.loads((data / "event-samples.json").read_text())
    read = {kind: wire.decode_event(json.dumps(sample)) for kind, sample in samples.items()}
    assert {kind for kind, event in read.items() if event is None} == {
        "BridgeCreated",
        "DeviceStateChanged",
    }
    assert all(type(event).__name__ == kind for kind, event in read.items() if event is not None)


def test_an_event_has_what_asterisk_says(capture):
    events = [wire.decode_event(json.dumps(event)) for event in capture("plain-call")]
    entered = next(event for event in events if isinstance(event, wire.ChannelEnteredBridge))
    assert entered.channel.endpoint == "PJSIP/agent"
    assert entered.channel.technology == "PJSIP"
    assert entered.channel.linkedid == "pbx-1795339661.4"
    assert (entered.channel.caller.name, entered.channel.connected.number) == ("Alice Agent", "15550100")
    assert entered.bridge.channels == ["pbx-1795339661.5"]
    digit = next(event for event in events if isinstance(event, wire.ChannelDtmfReceived))
    assert (digit.digit, digit.duration_ms) == ("5", 200)
    assert wire.stamp(digit) == 1_795_339_664_186_000_000
    hangup = [event.soft for event in events if isinstance(event, wire.ChannelHangupRequest)]
    assert hangup == [False, True]


def test_lists_are_read(data):
    channels = wire.decode_channels((data / "get_channels.json").read_bytes())
    assert [channel.endpoint for channel in channels] == ["PJSIP/trunk", "PJSIP/agent"]
    assert channels[0].dialplan.exten == "200"
    (bridge,) = wire.decode_bridges((data / "get_bridges.json").read_bytes())
    assert (bridge.bridge_type, len(bridge.channels)) == ("mixing", 2)


def test_old_and_new_versions_may_say_less_or_more():
    event = wire.decode_event('{"type":"ChannelCreated","channel":{"id":"1.2","name":"PJSIP/a-00000001"},"new":[1]}')
    assert event.channel.linkedid == ""
    assert wire.stamp(event) is None


@pytest.mark.parametrize(
    "text",
    [
        "", "{", "[]", "null", '"x"', '{"type":1}', '{"no":"type"}', '{"type":"ChannelCreated"}',
        '{"type":"ChannelCreated","channel":{"id":"","name":"x"}}', '{"type":"Dial","peer":7}',
        '{"type":"ChannelDtmfReceived","channel":{"id":"1","name":"x"},"digit":"12"}',
        '{"type":"ChannelCreated","channel":{"id":"1","name":"x","channelvars":{"a":1}}}', b"\xff\xfe", "[" * 100_000,
    ],
)  # fmt: skip
def test_what_is_no_event_is_a_protocol_error(text):
    with pytest.raises(ProtocolError):
        wire.decode_event(text)


def test_an_event_has_a_greatest_size():
    with pytest.raises(ProtocolError, match="the limit is"):
        wire.decode_event('{"type":"' + "x" * wire.MAX_EVENT + '"}')


def test_what_is_no_list_is_a_protocol_error():
    for body in (b"", b"{}", b'[{"id":1}]', b"\xff"):
        with pytest.raises(ProtocolError):
            wire.decode_channels(body)
        with pytest.raises(ProtocolError):
            wire.decode_bridges(body)


def test_an_error_does_not_say_what_was_in_the_event():
    with pytest.raises(ProtocolError) as error:
        wire.decode_event('{"type":"ChannelCreated","channel":{"id":"+4930123456","name":7}}')
    assert "4930" not in str(error.value)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=15,
)


@given(
    st.sampled_from(wire.READ),
    st.dictionaries(st.sampled_from(["channel", "bridge", "peer", "digit", "cause"]), json_values),
)
def test_any_json_is_an_event_or_a_protocol_error(kind, fields):
    with contextlib.suppress(ProtocolError):
        wire.decode_event(json.dumps({"type": kind, **fields}))


@given(st.binary(max_size=200) | st.text(max_size=200))
def test_any_bytes_are_an_event_or_a_protocol_error(text):
    with contextlib.suppress(ProtocolError):
        wire.decode_event(text)


@pytest.mark.parametrize(
    ("name", "endpoint"),
    [
        ("PJSIP/agent-00000005", "PJSIP/agent"),
        ("PJSIP/my-trunk-0000ab0f", "PJSIP/my-trunk"),
        ("PJSIP/agent-00000005<ZOMBIE>", "PJSIP/agent"),
        ("Local/201@pbx-in-00000000;2", "Local/201@pbx-in"),
        ("DAHDI/i1/123-7", "DAHDI/i1/123"),
        ("PJSIP/no-number", "PJSIP/no-number"),
        ("odd", "odd"),
    ],
)
def test_an_endpoint_is_a_name_without_its_number(name, endpoint):
    assert wire.endpoint(name) == endpoint


@pytest.mark.fuzz
@pytest.mark.parametrize(
    "parser", [test_any_json_is_an_event_or_a_protocol_error, test_any_bytes_are_an_event_or_a_protocol_error]
)
def test_the_wire_takes_much_more_of_it(fuzz, parser):
    fuzz.examples(4000, parser)
