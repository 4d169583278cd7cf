"""Who is let in where a platform vouches for its sockets itself."""

from __future__ import annotations

import asyncio
import base64
import hmac

import aiohttp
import pytest
from stream_kit import written

from vcond.sdk.contract import ConfigError
from vcond.testing.host import MemoryHost
from vcond.testing.sounds import voice
from vcond.testing.time import run_virtual
from vcond_stream import StreamAdapter, StreamConfig
from vcond_stream.trust import COVERED, VOUCH, Asked

NOW = 1_795_944_290.0
BASE = "https://edge.example.com"
KEY = "a-secret-key-of-the-platform"
BASIC = "user:a-password"
CLIENT = base64.b64encode(b"a client secret of genesys, long").decode()
HOOK = f"SGVsbG8=:{CLIENT}"


def b64(text: str | bytes) -> str:
    return base64.b64encode(text.encode() if isinstance(text, str) else text).decode()


def digest(key: str | bytes, text: str, algorithm: str) -> bytes:
    return hmac.digest(key.encode() if isinstance(key, str) else key, text.encode(), algorithm)


def hook(
    target="/stream/audiohook",
    *,
    created=NOW,
    nonce="abcdefghijklmnopqrstuvwx",
    key=CLIENT,
    keyid="SGVsbG8=",
    covered=COVERED,
):
    """Headers as Genesys' reference client makes them."""
    headers = {
        "host": "edge.example.com", "audiohook-organization-id": "o", "audiohook-session-id": "s",
        "audiohook-correlation-id": "c", "x-api-key": "SGVsbG8=",
    }  # fmt: skip
    listed = " ".join(f'"{name}"' for name in covered)
    parameters = f'({listed});keyid="{keyid}";nonce="{nonce}";alg="hmac-sha256";created={int(created)};expires={int(created) + 30}'
    values = {"@request-target": target, "@authority": "edge.example.com", **headers}
    lines = [*(f'"{name}": {values[name]}' for name in covered), f'"@signature-params": {parameters}']
    signature = b64(digest(base64.b64decode(key), "\n".join(lines), "sha256"))
    return {**headers, "signature-input": f"sig1={parameters}", "signature": f"sig1=:{signature}:"}


def signed_url(header, key=KEY, url="wss://edge.example.com/stream/x?b=2&a=1"):
    return {header: b64(digest(key, url, "sha1"))}


def plivo(url, header="x-plivo-signature-v3", key=KEY):
    return {header: f"xx, {b64(digest(key, f'{url}.n1', 'sha256'))}", f"{header}-nonce": "n1"}


GOOD = {
    "audiohook": (HOOK, hook("/stream/x?b=2&a=1")),
    "bandwidth": (BASIC, {"authorization": f"Basic {b64(BASIC)}"}),
    "exotel": (BASIC, {"authorization": f"basic {b64(BASIC)}"}),
    "infobip": (BASIC, {"authorization": f"Basic {b64(BASIC)}"}),
    "jambonz": (BASIC, {"authorization": f"Basic {b64(BASIC)}"}),
    "mod_audio_fork": (BASIC, {"authorization": f"Basic {b64(BASIC)}"}),
    "plivo": (KEY, plivo("wss://edge.example.com/stream/x?a=1&b=2")),
    "signalwire": (KEY, {"authorization": f"Bearer {KEY}"}),
    "telnyx": (KEY, {"x-telnyx-streaming-auth-token": KEY}),
    "twilio": (KEY, signed_url("x-twilio-signature")),
    "vobiz": (KEY, plivo("wss://edge.example.com/stream/x?a=1&b=2", "x-vobiz-signature-v3")),
}


def asked(headers, *, target="/stream/x?b=2&a=1", now=NOW, nonces=None):
    return Asked(BASE, target, headers, now, {} if nonces is None else nonces)


@pytest.mark.parametrize("dialect", VOUCH)
def test_what_the_platform_sends_is_taken_and_nothing_else(dialect):
    secret, headers = GOOD[dialect]
    assert VOUCH[dialect](asked(headers), secret)
    other = f"SGVsbG8=:{b64('another client secret of it')}" if dialect == "audiohook" else "another:secret-than-that"
    assert not VOUCH[dialect](asked(headers), other)
    assert not VOUCH[dialect](asked({}), secret)
    for name in headers:
        if name not in {"audiohook-organization-id", "host"}:
            assert not VOUCH[dialect](asked({**headers, name: headers[name][:-3]}), secret), name
        if name != "host":  # the public name counts too
            assert not VOUCH[dialect](asked({**headers, name: "\udcff"}), secret), name


@pytest.mark.parametrize("dialect", ["audiohook", "plivo", "twilio", "vobiz"])
def test_what_was_signed_for_another_path_is_not_taken(dialect):
    secret, headers = GOOD[dialect]
    assert not VOUCH[dialect](asked(headers, target="/stream/y?b=2&a=1"), secret)


@pytest.mark.parametrize(
    "url", ["http://edge.example.com/stream/x/websocket?a=1&b=2", "https://edge.example.com:443/stream/x?a=1&b=2"]
)
def test_plivo_may_sign_one_of_several_urls(url):
    target = "/stream/x?b=2&a=1"
    if "/websocket" in url:
        url, target = "http://edge.example.com/stream/x/websocket", "/stream/x"
    assert VOUCH["plivo"](asked(plivo(url), target=target), KEY)


@pytest.mark.parametrize(
    ("base", "target", "signature"),
    [
        (BASE, "/stream/x?b=2&a=1", "8NDEO566Zx8mmYg4IO9VthNfD/VfQ5tY8wxj02dC02o="),
        (BASE, "/stream/x", "roUjjgC6/dZsaWhVnjJ54R2QvxfhornyOhVtrXd1qfU="),
        (f"{BASE}:443", "/stream/x?b=2&a=%20c", "8eVFkToUwOLaNJVkk7slhXxCCnldHhZyIQR8fy9iBh4="),
    ],
)
def test_what_plivos_own_library_signs_is_taken(base, target, signature):
    """Made with plivo 4.63.0: get_signature_v3(key, construct_get_url("https://…", {}), "n1")."""
    headers = {"x-plivo-signature-v3": signature, "x-plivo-signature-v3-nonce": "n1"}
    key = "12345678901234567890123456789012"
    assert VOUCH["plivo"](Asked(base, target, headers, NOW, {}), key)
    assert not VOUCH["plivo"](Asked(base, target, headers | {"x-plivo-signature-v3-nonce": "n2"}, NOW, {}), key)


@pytest.mark.parametrize("header", ["x-signalwire-signature", "x-twilio-signature"])
def test_signalwire_may_sign_in_base64_or_hex(header):
    url = "wss://edge.example.com/stream/x?b=2&a=1"
    assert VOUCH["signalwire"](asked({header: b64(digest(KEY, url, "sha1"))}), KEY)
    assert VOUCH["signalwire"](asked({header: digest(KEY, url, "sha1").hex()}), KEY)


def test_signalwire_may_sign_with_sha_256_in_a_header_of_its_own():
    made = digest(KEY, "wss://edge.example.com/stream/x?b=2&a=1", "sha256").hex()
    assert VOUCH["signalwire"](asked({"x-signalwire-sha256-signature": made}), KEY)
    assert not VOUCH["signalwire"](asked({"x-signalwire-signature": made}), KEY)
    assert not VOUCH["signalwire"](asked({"x-signalwire-sha256-signature": made[:-1]}), KEY)


@pytest.mark.parametrize("dialect", VOUCH)
def test_a_path_that_is_no_text_is_refused_and_no_error(dialect):
    secret, headers = GOOD[dialect]
    signed = dialect in {"audiohook", "plivo", "twilio", "vobiz"}
    assert VOUCH[dialect](asked(headers, target="/stream/\udcff"), secret) is not signed
    assert not VOUCH[dialect](asked({}, target="/stream/\udcff"), secret)


@pytest.mark.parametrize("wrong", ['created="x"', "created=\u0661", 'expires="x"', "created=", 'nonce=5;created="5"'])
def test_a_handshake_of_genesys_with_a_time_that_is_none_is_refused_and_no_error(wrong):
    headers = hook("/stream/x?b=2&a=1")
    made = headers["signature-input"].partition(";created")[0]
    assert not VOUCH["audiohook"](asked({**headers, "signature-input": f"{made};{wrong}"}), HOOK)


def test_a_handshake_of_genesys_is_of_the_public_name_where_a_proxy_writes_another():
    headers = {**hook("/stream/x?b=2&a=1"), "host": "127.0.0.1:8470"}
    assert VOUCH["audiohook"](asked(headers), HOOK)
    elsewhere = Asked("https://other.example.com", "/stream/x?b=2&a=1", headers, NOW, {})
    assert not VOUCH["audiohook"](elsewhere, HOOK)


@pytest.mark.parametrize(
    "wrong",
    [
        {"created": NOW - 40}, {"created": NOW + 40}, {"nonce": "short"}, {"key": b64("another secret")},
        {"keyid": "other"}, {"covered": COVERED[1:]}, {"covered": COVERED[:-1]},
    ],
)  # fmt: skip
def test_a_handshake_of_genesys_that_is_old_or_covers_too_little_is_not_taken(wrong):
    assert not VOUCH["audiohook"](asked(hook("/stream/x?b=2&a=1", **wrong)), HOOK)


def test_a_handshake_of_genesys_is_taken_once_and_what_is_remembered_is_bounded():
    nonces: dict[str, float] = {}
    headers = hook("/stream/x?b=2&a=1")
    assert VOUCH["audiohook"](asked(headers, nonces=nonces), HOOK)
    assert not VOUCH["audiohook"](asked(headers, nonces=nonces), HOOK)
    later = hook("/stream/x?b=2&a=1", created=NOW + 200, nonce="another-number-of-24-chars")
    assert VOUCH["audiohook"](asked(later, now=NOW + 200, nonces=nonces), HOOK)
    assert len(nonces) == 1


def test_the_path_of_a_dialect_with_a_secret_asks_for_that_before_the_upgrade():
    async def main() -> None:
        async with MemoryHost("stream") as host:
            config = StreamConfig(secrets={"telnyx": KEY}, public_url=BASE)
            task = asyncio.create_task(StreamAdapter(config).run(host))
            await host.until(lambda: host.is_attached)
            url = f"{host.ingress.bound_url}/stream"
            async with aiohttp.ClientSession() as session:
                for where in ("/telnyx", f"/telnyx/{host.ingress.token}", "/plivo"):
                    with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
                        await session.ws_connect(url + where)
                    assert refused.value.status == 403
                assert host.drops == {("stream", "not-vouched-for"): 2}
                headers = {"x-telnyx-streaming-auth-token": KEY}
                async with session.ws_connect(f"{url}/telnyx", headers=headers) as socket:
                    for _, data in written("telnyx", voice(1, 0.1), voice(2, 0.1))[0]:
                        await socket.send_str(data.decode())
                    await host.until(lambda: host.calls)
                async with session.ws_connect(f"{url}/plivo/{host.ingress.token}"):
                    pass
            task.cancel()
            await asyncio.wait([task])

    run_virtual(main())


@pytest.mark.parametrize(
    ("dialect", "secret"),
    [("audiohook", "SGVsbG8=SGVsbG8="), ("audiohook", "SGVsbG8=:"), ("audiohook", "SGVsbG8=:no base64"),
     ("jambonz", "a-password-only"), ("bandwidth", "user-name:"), ("exotel", ":a-password")],
)  # fmt: skip
def test_half_a_secret_is_a_mistake_and_lets_nobody_in(dialect, secret):
    with pytest.raises(ConfigError, match=dialect):
        StreamAdapter(StreamConfig(secrets={dialect: secret}))


def test_a_secret_of_a_dialect_that_has_none_is_a_mistake():
    with pytest.raises(ConfigError, match="vonage"):
        StreamAdapter(StreamConfig(secrets={"vonage": "x" * 20}))
