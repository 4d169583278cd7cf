"""What the client of one session said of the call and of who is in it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from vcond.sdk.contract import AdapterHost, Direction, ProtocolError, is_consent
from vcond_siprec.metadata import parse
from vcond_siprec.participants import Participants
from vcond_siprec.recordings import VENDOR_HEADERS, Id, sip_ids, vendor_ids
from vcond_siprec.who import from_headers, same

HEADERS: Final = VENDOR_HEADERS | {
    "from", "p-asserted-identity", "remote-party-id", "session-id", "user-to-user", "x-cisco-recording-participant",
}  # fmt: skip
"""That say who takes part, or of which call a session is."""
MOST_CONSENT: Final = 1024
"""Characters of a header that says something of consent."""
MOST_NAMED: Final = 16
"""Ids of one kind, and vendors' values, that a record gets of one session."""
_DIRECTIONS: Final[dict[str, Direction]] = {"inbound": "inbound", "outbound": "outbound", "internal": "internal"}


class Said:
    """All documents of one session, and the headers of its INVITE."""

    def __init__(self, host: AdapterHost, call_id: str, headers: Iterable[tuple[str, str]]) -> None:
        """``headers``: names in lower case."""
        self.participants = Participants()
        self._host = host
        self._call_id = call_id
        self._headers = list(headers)
        self.documented = False
        """Whether there was metadata that says something."""
        self._told = False

    def read(self, metadata: bytes | None, headers: Iterable[tuple[str, str]] = ()) -> None:
        """Take a document, or what headers say while there was none. Whatever is wrong with it, audio is recorded.

        ``headers``: of a later request, names in lower case; Cisco tells there who takes part now.
        """
        if metadata is not None:
            try:
                document = parse(metadata)
            except ProtocolError:
                self._host.dropped("metadata", "malformed")
                if not self._told:
                    self._told = True
                    fix = "check what the recording client sends"
                    self._host.log.warning("metadata cannot be read; recording without names", hint=fix)
            else:
                if not document.well_formed:
                    self._host.dropped("metadata", "not-well-formed")
                self.documented = True
                self.participants.take(document)
        if not self.documented:
            named = from_headers(headers or self._headers)
            if named.participants:
                self.participants.take(named)

    @property
    def identity(self) -> list[tuple[str, str]]:
        """The headers of the INVITE that are looked at."""
        return [(name, value) for name, value in self._headers if name in HEADERS]

    @property
    def session(self) -> str:
        """The id of the communication session; of one that has none, the Call-ID of the recording."""
        return next(iter(self.participants.sessions), self._call_id)

    @property
    def key(self) -> str:
        """Of a new record: that of the communication session, under whatever Call-ID it comes."""
        return f"session {self.session}" if self.participants.sessions else f"call-id {self._call_id}"

    @property
    def direction(self) -> Direction:
        """Which way the call goes, by a vendor's word."""
        return _DIRECTIONS.get(self.participants.extras.get("direction", "").lower(), "unknown")

    def addresses(self) -> list[str]:
        """Of all who take part."""
        return [same(one.aor) for one in self.participants.people.values()]

    def ids(self) -> list[Id]:
        """What other sessions of the same call may have in common with it."""
        known = self.participants
        found = [Id("session", one) for one in known.sessions] + [Id("group", one) for one in known.groups]
        found += [Id("call-id", one) for said in known.sip_sessions for one in sip_ids(said)]
        return found + vendor_ids(self._headers)

    def facts(self) -> Iterator[tuple[str, str]]:
        """What the record gets of it."""
        known = self.participants
        yield "sip_call_id", next((one for one in known.sip_sessions if ";" not in one), self._call_id)
        yield "siprec.call_id", self._call_id
        for name, values in (
            ("session_id", known.sessions),
            ("group_id", known.groups),
            ("sip_session_id", known.sip_sessions),
        ):
            for value in values[:MOST_NAMED]:
                yield f"siprec.{name}", value
        extras = [(name, value) for name, value in known.extras.items() if not is_consent(name)]
        for name, value in extras[:MOST_NAMED]:
            yield f"siprec.extension.{name}", value

    def consents(self) -> Iterator[tuple[str, str]]:
        """What of it speaks of consent."""
        for name, value in self.participants.extras.items():
            if is_consent(name):
                yield f"siprec.extension.{name}", value
        for name, value in self._headers:
            if is_consent(name):
                yield "sip_header.X-Vcond-Consent", value[:MOST_CONSENT]
