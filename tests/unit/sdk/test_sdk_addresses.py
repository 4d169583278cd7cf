"""What adapters say of the addresses at which their peers reach us."""

from __future__ import annotations

import pytest

from vcond.sdk.addresses import is_loopback, stream_url


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "127.8.0.1", "::1"])
def test_this_machine(host):
    assert is_loopback(host)


@pytest.mark.parametrize("host", ["", "192.0.2.1", "::", "127.example.com", "edge.example.com"])
def test_other_machines(host):
    assert not is_loopback(host)


@pytest.mark.parametrize(
    ("base", "url"),
    [
        ("https://edge.example.com", "wss://edge.example.com/twilio/stream"),
        ("https://edge.example.com/vcond/", "wss://edge.example.com/vcond/twilio/stream"),
        ("wss://edge.example.com", "wss://edge.example.com/twilio/stream"),
        ("http://127.0.0.1:8470", "ws://127.0.0.1:8470/twilio/stream"),
    ],
)
def test_the_url_of_a_stream(base, url):
    assert stream_url(base, "/twilio/stream") == url
