from __future__ import annotations

import pytest

from vcond.sdk.media_stream import candidates, same, twilio_signed
from vcond.sdk.media_stream.signatures import url_signature

KEY = "12345678901234567890123456789012"
TARGET = "/twilio/stream?a=1"
# made with twilio 9.13.0: RequestValidator(KEY).compute_signature(url, {}), and with algorithm="HMAC_SHA256"
MADE = {
    "wss://edge.example.com/twilio/stream": (
        "bsX6E6UvhgKIg30tRTfENkPvGHE=",
        "lhshf5rRQBaGU5vkxOmfGvGD0t7k0PAXMBibQ27ox6A=",
    ),
    "wss://edge.example.com:443/twilio/stream": (
        "VmHWX5NgSbSAUvdlS+pG90o72Yo=",
        "RP3OY4j/KLi9nvQM+bcV6W64O2b2HiqGx0Lh9tNR7WE=",
    ),
    "wss://edge.example.com:8443/twilio/stream?a=1": (
        "T7PuQijT2u7MQmqFPG97VkApD+I=",
        "yglolwrLzs5GzuJC5OLiIaKL2FeJh/82YaxDZeS4KA4=",
    ),
}


@pytest.mark.parametrize("url", MADE)
def test_a_signature_is_the_one_that_twilios_own_library_makes(url):
    assert (url_signature(KEY, url), url_signature(KEY, url, "sha256")) == MADE[url]


@pytest.mark.parametrize(
    ("base", "urls"),
    [
        ("https://edge.example.com", ["edge.example.com", "edge.example.com:443"]),
        ("https://edge.example.com/", ["edge.example.com", "edge.example.com:443"]),
        ("wss://edge.example.com:8443", ["edge.example.com:8443", "edge.example.com", "edge.example.com:443"]),
        ("https://[2001:db8::1]:443", ["[2001:db8::1]:443", "[2001:db8::1]"]),
    ],
)
def test_the_port_may_be_in_what_was_signed_or_not(base, urls):
    assert candidates(base, TARGET) == [f"wss://{url}{TARGET}" for url in urls]


def test_a_path_of_the_public_url_is_part_of_what_was_signed():
    assert candidates("https://edge.example.com/vcond", "/s")[0] == "wss://edge.example.com/vcond/s"


@pytest.mark.parametrize("algorithm", ["sha1", "sha256"])
def test_each_candidate_each_key_and_nothing_else_is_taken(algorithm):
    settings = "key=k1,algorithm=HMAC_SHA256" if algorithm == "sha256" else ""
    assert twilio_signed(url_signature(KEY, "wss://h/s", algorithm), settings.lower(), [KEY], ["wss://h/s"])
    urls = candidates("https://edge.example.com", TARGET)
    for url in urls:
        given = url_signature(KEY, url, algorithm)
        assert twilio_signed(given, settings, ["other", KEY], urls)
        assert not twilio_signed(given, settings, ["other"], urls)
        assert not twilio_signed(given, settings, [KEY], candidates("https://edge.example.com", TARGET + "2"))
        assert not twilio_signed(given[:-2] + "A=", settings, [KEY], urls)
        assert not twilio_signed(given.lower(), settings, [KEY], urls)
        assert not twilio_signed(given, "key=k1,algorithm=HMAC_SHA256" if not settings else "", [KEY], urls)
    assert not twilio_signed("", settings, [KEY], urls)


def test_what_is_no_text_is_not_the_same_and_no_error():
    assert not same("\udcff" * 1000, "x")
    assert not twilio_signed("ü", "", [KEY], ["wss://\udcff/"])
