"""The STUN and TURN servers: how we log in there, and what publishers are told of them."""

from __future__ import annotations

import base64
import hmac
import secrets
from typing import Final

from vcond.sdk.contract import SECOND, Instant
from vcond_webrtc.config import WebRtcConfig

GOOD_FOR: Final = 86_400
"""Seconds that a made login is good for. A relay is refreshed with it all the time, so no call may be longer."""


def login(config: WebRtcConfig, now: Instant) -> tuple[str, str]:
    """Name and password at the TURN server: the configured ones, or made with the secret that we share with it.

    The latter is draft-uberti-behave-turn-rest-00, which coturn has as ``use-auth-secret``: the name is the second
    in which it expires, the password the HMAC-SHA1 of the name.
    """
    if not config.turn_secret:
        return config.turn_user, config.turn_password
    name = f"{now // SECOND + GOOD_FOR}:{secrets.token_hex(4)}"
    digest = hmac.digest(config.turn_secret.encode(), name.encode(), "sha1")
    return name, base64.b64encode(digest).decode()


def links(config: WebRtcConfig, now: Instant) -> list[str]:
    """What a publisher is told, as values of Link (RFC 9725 section 4.6).

    The TURN server only where a login can be made for it: the configured one is ours, and good for ever.
    """
    told = [f'<{config.stun}>; rel="ice-server"'] if config.stun else []
    if config.turn and config.turn_secret:
        name, password = login(config, now)
        told.append(
            f'<{config.turn}>; rel="ice-server"; username="{name}"; credential="{password}"; credential-type="password"'
        )
    return told
