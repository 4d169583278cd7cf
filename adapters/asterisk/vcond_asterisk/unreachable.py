"""Why Asterisk's HTTP server does not answer, in words that an operator can act on. Pure."""

from __future__ import annotations

import socket
import ssl
from typing import Final

import aiohttp

from vcond.sdk.contract import UnreachableError

LISTENS: Final = "systemctl status asterisk; when it runs, set enabled = yes, bindaddr and bindport in http.conf, then: module reload http; check the firewall in between"


class NoAnswerError(UnreachableError):
    """No HTTP came back from ``url``. ``said``: why, without the address; ``fix``: what to do about it."""

    def __init__(self, url: str, why: BaseException) -> None:
        self.said, self.fix = explained(why)
        super().__init__(f"{url}: {self.said}")


def explained(why: BaseException) -> tuple[str, str]:
    """What happened, and what to do. Nothing of the exception's own text is used: it may hold addresses."""
    roots = [why, *(one for one in (why.__cause__, getattr(why, "os_error", None)) if one is not None)]
    if any(isinstance(one, socket.gaierror) for one in roots):
        return "the name of the PBX cannot be resolved (DNS)", "correct the host in url, or the DNS of this machine"
    for one in roots:
        found = getattr(one, "certificate_error", one)
        if isinstance(found, ssl.SSLCertVerificationError):
            fix = "name its authority in ca, and the host in url as the certificate does"
            return f"its certificate is not trusted here: {getattr(found, 'verify_message', '') or 'unknown why'}", fix
    if any(isinstance(one, ssl.SSLError | aiohttp.ClientSSLError) for one in roots):
        return "TLS fails: that port may speak plain http", "use http:// in url, or set tlsenable = yes in http.conf"
    if any(isinstance(one, ConnectionRefusedError) for one in roots):
        return "nothing listens at this address: is Asterisk running?", LISTENS
    if any(isinstance(one, TimeoutError) for one in roots):
        return "no answer in time", LISTENS
    if any(isinstance(one, aiohttp.ServerDisconnectedError | aiohttp.ClientResponseError) for one in roots):
        return (
            "that port is not an HTTP server, or needs TLS",
            "use https:// in url if the port is that of tlsbindaddr",
        )
    return f"Asterisk's HTTP server does not answer ({type(why).__name__})", LISTENS
