"""What adapters say of addresses: where their peers reach us, and whether a host is this machine. Pure."""

from __future__ import annotations

from ipaddress import ip_address
from typing import Final

from vcond.sdk.contract import Finding

PROXY: Final = "put a TLS proxy with a public name in front of vcond and set its https:// URL"
"""The hint where peers need TLS, or a public name."""
_WEBSOCKET: Final = {"https": "wss", "http": "ws"}


def is_loopback(host: str) -> bool:
    """Whether a host, a name or an address without brackets, is this machine."""
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def stream_url(base: str, path: str) -> str:
    """The WebSocket URL of a route: ``https://edge.example.com`` becomes ``wss://edge.example.com/twilio/stream``."""
    scheme, _, rest = base.rstrip("/").partition("://")
    return f"{_WEBSOCKET.get(scheme, scheme)}://{rest}{path}"


def no_public_url(what: str, section: str) -> Finding:
    """What ``check`` says where ``public_url`` of a section (``adapters.twilio``) is empty; ``what`` is the URL's purpose."""
    return Finding("warning", what, "public_url is not set", f"set {section}.public_url; {PROXY}")
