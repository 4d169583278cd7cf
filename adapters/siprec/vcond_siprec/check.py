"""``vcond check``: what recording clients are to be told, and what will not work."""

from __future__ import annotations

import errno
import socket
from collections.abc import Iterator
from ipaddress import ip_network
from typing import Final

from vcond.sdk.addresses import is_loopback
from vcond.sdk.contract import ConfigError, Finding, how_to_install
from vcond.sdk.decoding import LIBRARY, available
from vcond.sdk.tls import Served
from vcond_siprec import dtls, libsrtp
from vcond_siprec.config import SiprecConfig

WIDE: Final = 16
"""Networks of more addresses than this prefix has hold more than one's own clients."""


def check(config: SiprecConfig) -> Iterator[Finding]:
    """One finding after another; no client is needed for any."""
    yield from _listeners(config)
    if config.certificate:
        yield _certificate(config)
    yield from _allowed(config)
    yield _ports(config)
    yield _codecs()
    yield _encryption()


def _listeners(config: SiprecConfig) -> Iterator[Finding]:
    for transport, host, port in config.listeners():
        shown = f"[{host}]" if ":" in host else host
        what = f"{transport} {shown}:{port}"
        refused = _refused(transport, host, port)
        if refused is not None:
            yield _why_refused(what, host, refused)
            continue
        told = config.advertise or host
        uri = f"sip:{f'[{told}]' if ':' in told else told}:{port};transport={transport}"
        if is_loopback(host):
            fix = "listen on an address that other machines can reach"
            yield Finding("warning", what, f"only clients on this machine reach {uri}", fix)
        else:
            yield Finding("ok", what, f"recording clients send their calls to {uri}")


def _certificate(config: SiprecConfig) -> Finding:
    try:
        Served(config.certificate, config.key, config.client_ca, "adapters.siprec")
    except ConfigError as why:
        return Finding(
            "error", "certificate", str(why), "name a PEM file of the certificate, and its key, that vcond may read"
        )
    whom = "clients that have a certificate of client_ca" if config.client_ca else "every client that is allowed"
    return Finding("ok", "certificate", f"is shown to {whom}")


def _why_refused(what: str, host: str, why: OSError) -> Finding:
    """What is in the way; a port that is taken may be that of the vcond that runs."""
    said = why.strerror or type(why).__name__
    if why.errno == errno.EADDRNOTAVAIL:
        fix = "name an address of this machine (ip -brief address) in adapters.siprec.listen; clients elsewhere: adapters.siprec.advertise"
        return Finding("error", what, f"{host} is no address of this machine", fix)
    if why.errno == errno.EACCES:
        return Finding("error", what, said, "choose a port above 1023, or add the drop-in low-ports.conf to the unit")
    return Finding("warning", what, said, "stop the other program, or choose another port", ours=True)


def _refused(transport: str, host: str, port: int) -> OSError | None:
    """Why an address cannot be listened on; None when it can."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    kind = socket.SOCK_DGRAM if transport == "udp" else socket.SOCK_STREAM
    with socket.socket(family, kind) as tried:
        if kind == socket.SOCK_STREAM:
            tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            tried.bind((host, port))
        except OSError as why:
            return why
    return None


def _allowed(config: SiprecConfig) -> Iterator[Finding]:
    what = "allow"
    try:
        networks = [ip_network(one, strict=False) for one in config.allow]
    except ValueError:
        yield Finding("error", what, "holds something that is not an address or a network", "write it as 192.0.2.0/24")
        return
    wide = [str(one) for one in networks if one.prefixlen < WIDE and not one.is_loopback]
    if wide:
        fix = "list only the addresses of your recording clients: anyone allowed can make records and fill the disk"
        yield Finding("warning", what, f"allows very many addresses: {', '.join(wide)}", fix)
    elif not networks:
        yield Finding("error", what, "allows no address", "list the addresses of your recording clients")
    else:
        yield Finding("ok", what, f"{len(networks)} addresses and networks of recording clients")


def _ports(config: SiprecConfig) -> Finding:
    first, last = config.ports
    if not last:
        return Finding(
            "warning", "ports", "the system chooses the ports for media", "set ports, and open them in the firewall"
        )
    lines = (last - first + 1) // 2 - 1  # one port is for lines that are not wanted
    if lines < 2 * config.max_sessions:
        detail = f"enough for {lines // 2} sessions of two lines, and max_sessions is {config.max_sessions}"
        return Finding(
            "warning",
            "ports",
            detail,
            "make the range larger: each session needs four ports, and those of the last 30 s stay in use",
        )
    return Finding(
        "ok", "ports", f"UDP {first} to {last} on {config.media_address}: enough for {lines // 2} sessions of two lines"
    )


def _codecs() -> Finding:
    names = ", ".join(sorted(name.upper() for name in LIBRARY))
    if available():
        return Finding("ok", "codecs", f"PCMU, PCMA and L16, and {names} by PyAV")
    fix = f"{how_to_install('siprec')}; or let clients offer PCMU or PCMA"
    return Finding("warning", "codecs", f"PCMU, PCMA and L16 only: {names} cannot be decoded without PyAV", fix)


def _encryption() -> Finding:
    if lacking := libsrtp.lacking():
        detail = (
            f"offers with keys (RTP/SAVP) are accepted, but not {lacking}: the installed pylibsrtp does not give them"
        )
        return Finding("warning", "SRTP", detail, f"{how_to_install('siprec')}; or let clients offer other suites")
    if libsrtp.available():
        also = ", and with DTLS" if dtls.available() else f"; those with DTLS not: {how_to_install('webrtc')}"
        return Finding("ok", "SRTP", f"offers with keys (RTP/SAVP) are accepted{also}")
    detail = "offers with keys (RTP/SAVP) are refused: pylibsrtp is not installed"
    return Finding("warning", "SRTP", detail, f"{how_to_install('siprec')}; or let clients offer RTP/AVP")
