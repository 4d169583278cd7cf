"""What the dialplan says to us by ``UserEvent``, or a program by ``POST /events/user``: consent, and pauses.

``UserEvent(VcondConsent,State: granted,Announcement: rec-en)``, of the party of its channel; ``UserEvent(VcondPause,Reason: card,
Seconds: 90)`` and ``UserEvent(VcondResume)``, of the call that the channel is in, or will be. Names of events and of what they say are read whatever their case
(https://docs.asterisk.org/Latest_API/API_Documentation/Dialplan_Applications/UserEvent/).
"""

from __future__ import annotations

from typing import Final

from vcond.sdk import clean
from vcond.sdk.contract import SECOND, Instant, RecordingPaused, Warned, consent_of
from vcond_asterisk import wire
from vcond_asterisk.channels import Channels

MOST: Final = 32
"""What is looked at of what one event says."""
LONGEST: Final = 86_400
"""Seconds of a pause that ends by itself."""
UNCLEAR: Final = "consent-unclear"
"""Said once in a call: a dialplan says the same again and again."""


def told(channels: Channels, event: wire.ChannelUserevent, at: Instant) -> None:
    """Take an event; one that is not for us means nothing."""
    name = event.eventname.casefold()
    if event.channel is None or name not in {"vcondconsent", "vcondpause", "vcondresume"}:
        return
    leg = channels.seen(event.channel, at)
    conversation = channels.wiring.conversation(event.channel.id)
    if conversation is None:
        return
    said = {key.casefold(): clean(str(value)) for key, value in list(event.userevent.items())[:MOST]}
    said.pop("eventname", None)
    if name == "vcondpause":
        seconds = said.get("seconds", "")
        until = int(seconds) if seconds.isdecimal() and len(seconds) <= len(str(LONGEST)) else 0
        end = Instant(at + min(until, LONGEST) * SECOND) if until else None
        reason = said.get("reason", "")[:64]
        conversation.pause(event.channel.id, RecordingPaused(at=at, by="platform", reason=reason, until=end))
    elif name == "vcondresume":
        conversation.resume(at)
    elif leg is not None and (consent := consent_of(said, party=0, at=at)) is not None:
        conversation.consent(leg, consent)
    elif (call := conversation.call) is not None and all(one.code != UNCLEAR for one in call.state.warnings):
        text = "a user event speaks of consent in words that are not known, or of a channel that is no party"
        call.emit(Warned(at=at, code=UNCLEAR, text=text))
