"""One channel of a PBX."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, Protocol

from vcond.sdk.contract import (
    ArrivalClock,
    CallAttribute,
    Cause,
    Codec,
    Consent,
    Dtmf,
    Event,
    Instant,
    LiveCall,
    Party,
    PartyInfo,
    Track,
    TrackClock,
    Warned,
    asks,
)

START: Final = Instant(0)


class Above(Protocol):
    """What a leg needs of the conversation above it."""

    call: LiveCall | None

    def emit(self, event: Event, /) -> None:
        """Tell the core, when it is recorded."""


@dataclass(slots=True, eq=False)
class Leg:
    """One channel that stands for somebody who can speak."""

    channel: str
    """Its id now."""
    name: str
    """What patterns look at: ``PJSIP/agent``, ``sofia/internal/1001@pbx.example.com``."""
    inside: bool | None
    """Whether it is one of ours; None = not known."""
    conversation: Above
    """What it is part of."""
    created: Instant
    """When the PBX made the channel, by our clock."""
    context: str
    """Where its dialplan begins, for ``include_contexts``."""
    up: Instant | None = None
    """When it was answered."""
    key: str = ""
    """Key of its party; empty while it is none."""
    who: PartyInfo = field(default_factory=PartyInfo)
    """Of the person at it: name and number, as far as the PBX said."""
    sip: str = ""
    """The Call-ID of its SIP dialog (RFC 3261 section 8.1.1.4); empty where it is not known, or no SIP."""
    dialled: str = ""
    """The number or extension that it asked for."""
    app: str = ""
    """The application of the PBX that it is in: ``VoiceMail``, ``playback``."""
    said: list[CallAttribute | Consent | Dtmf] = field(default_factory=list)
    """What was said of its consent, and keys that it pressed after it was asked, that no call was told yet."""
    standing: list[Consent] = field(default_factory=list)
    """What it had said when it was alone, or came to the others: this it says to whoever comes next, too, unless it says
    otherwise in between. What is said in a conversation is of that one."""
    heard: dict[str, list[str]] = field(default_factory=dict)
    """What each variable of its channel has said of consent, the latest last: a snapshot may be older than what was told."""
    found: bool = False
    """It is of an earlier run: what was said on it meanwhile was not seen."""
    holding: bool = False
    """It has put the others on hold."""
    listens_in: bool = False
    """It only listens in on others: it is no party."""
    stays: bool = False
    """It was there alone before the others came, and may stay up from one conversation to the next: an agent."""
    put_down: bool = False
    """The PBX ended it, perhaps because the other side had hung up."""
    relay: bool = False
    """It only connects other legs of the same PBX (``loopback/...``): it is nobody."""
    came: Instant = START
    """When it came into its conversation, where that was after its answer."""
    left: Instant | None = None
    """When it was gone; None while it is there."""
    cause: Cause = field(default_factory=Cause)
    """Why it ended, as far as the PBX said."""

    @property
    def somebody(self) -> bool:
        """Whether it may be a party."""
        return not self.relay and not self.listens_in

    @property
    def asked(self) -> bool:
        """Whether it was asked for consent, and has not answered."""
        last = next((one for one in reversed(self.said) if not isinstance(one, Dtmf)), None)
        return asks(last.value) if isinstance(last, CallAttribute) else last is not None and last.state == "asked"

    @property
    def party(self) -> Party | None:
        """The party that it is in its call."""
        call = self.conversation.call
        return call.state.party_by_key(self.key) if call is not None and self.key else None

    def open_track(self, at: Instant, rate: int, clock: TrackClock | None = None) -> Track | None:
        """A new track for its party; None when it is none, or is not recorded. Without a clock: ``ArrivalClock()``."""
        call, party = self.conversation.call, self.party
        if call is None or party is None:
            return None
        return call.track(party.index, at=at, codec=Codec.L16, rate=rate, clock=clock or ArrivalClock())

    def warn(self, at: Instant, code: str, text: str) -> None:
        """Write a warning into the record."""
        self.conversation.emit(Warned(at=at, code=code, text=text))
