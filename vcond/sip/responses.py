"""What is sent: answers to requests, and requests of our own within dialogs. RFC 3261 sections 8.2.6, 12.2.1 and 18.2."""

from __future__ import annotations

import hmac
import re
from typing import Final

from vcond.base.errors import ProtocolError
from vcond.sip.application import Flow
from vcond.sip.dialogs import DialogState
from vcond.sip.fields import Uri
from vcond.sip.messages import REASONS, Request, encode
from vcond.sip.settings import METHODS, Settings

_RPORT: Final = re.compile(r";\s*+rport\s*+(?:=\s*+\d*+\s*+)?+(?=;|$)", re.IGNORECASE)
_RECEIVED: Final = re.compile(r";\s*+received\s*+=\s*+[^;\s]*+", re.IGNORECASE)
Fields = tuple[tuple[str, str], ...]


class Writer:
    """Writes messages as the settings have it."""

    def __init__(self, settings: Settings, secret: bytes) -> None:
        self._settings, self._secret = settings, secret
        self._allow = ", ".join(METHODS)
        self._supported = ", ".join(sorted({*settings.extensions, "timer"}))
        self._accept = ", ".join((*settings.accept, "multipart/mixed"))

    def response(
        self,
        request: Request,
        flow: Flow,
        status: int,
        *,
        tag: str = "",
        more: Fields = (),
        body: bytes = b"",
        reason: str = "",
    ) -> bytes:
        """An answer. Without a tag To gets one that is the same for each retransmission (section 8.2.7)."""
        headers = request.headers
        to = headers.get("to")
        if status > 100 and not _tagged(request):
            to += f";tag={tag or self._tag(request)}"
        vias = request.vias
        fields = [("Via", _reached(vias[0], flow)), *(("Via", via) for via in vias[1:])]
        if request.method == "INVITE" and 100 < status < 300:
            fields += [("Record-Route", route) for route in headers.all("record-route")]
        fields += [("From", headers.get("from")), ("To", to)]
        fields += [("Call-ID", headers.get("call-id")), ("CSeq", headers.get("cseq"))]
        if status > 100:
            fields += [("Server", self._settings.product), ("Allow", self._allow), ("Supported", self._supported)]
        if status == 415 or (status == 200 and request.method in {"INVITE", "OPTIONS"}):
            fields += [("Accept", self._accept), ("Accept-Encoding", "identity")]
        if 100 < status < 300 and request.method in {"INVITE", "UPDATE", "OPTIONS"}:
            fields.append(("Contact", self.contact(flow, request.uri)))
        return encode(f"SIP/2.0 {status} {reason or REASONS.get(status, 'Refused')}", [*fields, *more], body)

    def request(self, dialog: DialogState, method: str, branch: str, more: Fields = ()) -> bytes:
        """A request of ours, with the dialog's next number. It goes where the dialog's last request came from."""
        dialog.local_cseq += 1
        flow = dialog.flow
        fields = [
            ("Via", f"SIP/2.0/{flow.transport.upper()} {self._sent_by(flow)};branch={branch};rport"),
            ("Max-Forwards", "70"),
            *(("Route", route) for route in dialog.routes),
            ("From", dialog.local),
            ("To", dialog.remote),
            ("Call-ID", dialog.id.call_id),
            ("CSeq", f"{dialog.local_cseq} {method}"),
            ("User-Agent", self._settings.product),
            ("Contact", self.contact(flow, dialog.target)),
            *more,
        ]
        return encode(f"{method} {dialog.target} SIP/2.0", fields)

    def contact(self, flow: Flow, uri: str = "") -> str:
        """Where we are reached on that transport; ``sips`` where the other side said so (section 12.1.1)."""
        if uri[:5].lower() == "sips:":
            where = f"sips:{self._sent_by(flow)}"
        else:
            where = f"sip:{self._sent_by(flow)}{'' if flow.transport == 'udp' else f';transport={flow.transport}'}"
        return f"<{where}>{self._settings.contact_params}"

    def _sent_by(self, flow: Flow) -> str:
        host, port = flow.local
        host = self._settings.advertise or host
        return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"

    def _tag(self, request: Request) -> str:
        said = "\0".join((request.vias[0], request.call_id, request.headers.get("from"), request.headers.get("cseq")))
        return hmac.new(self._secret, said.encode("utf-8", "surrogateescape"), "sha256").hexdigest()[:16]


def can_be_answered(request: Request) -> bool:
    """Whether a request that breaks the grammar has what an answer is made of."""
    try:
        return bool(request.vias) and all(request.headers.get(name) for name in ("from", "to", "call-id", "cseq"))
    except ProtocolError:
        return False


def way_back(request: Request, flow: Flow) -> Flow:
    """Where answers go: on the connection the request came on, or to its source, never where a header says.

    RFC 3261 section 18.2.2 and RFC 3581 section 4; of what the client says only its port counts. ``maddr`` is left out.
    """
    if flow.reliable:
        return flow
    try:
        via = request.via
    except ProtocolError:
        return flow
    return flow if "rport" in via.params else flow._replace(remote=(flow.remote[0], via.port or 5060))


def unusable_scheme(uri: str) -> int:
    """400 for no URI, 416 for one that is not ours to serve, otherwise 0."""
    try:
        scheme = Uri.parse(uri).scheme
    except ProtocolError:
        return 400
    return 0 if scheme in {"sip", "sips", "tel"} else 416


def _reached(via: str, flow: Flow) -> str:
    """Its own Via, with the address that it came from."""
    host, port = flow.remote
    via = _RECEIVED.sub("", via)
    asked = _RPORT.search(via)
    if asked is not None:
        via = f"{via[: asked.start()]};rport={port}{via[asked.end() :]}"
    return f"{via};received={host}"


def _tagged(request: Request) -> bool:
    try:
        return bool(request.to_tag)
    except ProtocolError:  # it breaks the grammar, and goes back as it came
        return False
