"""``[adapters.twilio]``."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

from vcond.sdk.contract import ConfigError
from vcond.sdk.media_stream import StreamSettings

Tokens = Annotated[list[Annotated[str, Meta(min_length=16, max_length=200)]], Meta(max_length=4)]
Sid = Annotated[str, Meta(pattern=r"^[A-Za-z0-9]*\Z", max_length=34)]


class TwilioConfig(StreamSettings, forbid_unknown_fields=True, frozen=True):
    """``[adapters.twilio]``: media streams that Twilio opens towards us. Times are seconds."""

    path: Annotated[str, Meta(pattern=r"^(/[A-Za-z0-9._~-]+)+\Z", max_length=200)] = "/twilio/stream"
    """Where on the daemon's HTTP port the streams arrive. Twilio appends the ingress token: ``<path>/<token>``."""
    public_url: Annotated[str, Meta(pattern=r"^((https?|wss?)://[^\s/?#]+[^\s?#]*)?\Z", max_length=500)] = ""
    """What ``vcond check`` shows as the URL for your TwiML, and what Twilio signs. Empty = ``web.public_url``."""
    auth_tokens: Tokens = msgspec.field(default_factory=list)
    """The account's auth token, and the next one while you change it: a stream is let in when its handshake is signed with
    one (``X-Twilio-Signature``), and the ingress token is not asked for. Empty = the ingress token lets streams in."""
    account_sid: Sid = ""
    """The account. With it vcond reads each call with Twilio's REST API when its streams are over: who called whom, whether a
    machine answered, how it ended. Empty = it asks nothing."""
    api_key: Sid = ""
    """The API key that it logs in with there. Empty = the account itself, with the first of ``auth_tokens``."""
    api_secret: Annotated[str, Meta(max_length=200)] = ""
    """The secret of the key: ``${credential:twilio-api-secret}``."""
    api_url: Annotated[str, Meta(pattern=r"^https?://[^\s/?#@]+/?\Z", max_length=200)] = "https://api.twilio.com"
    """Where that API is: ``https://api.dublin.ie1.twilio.com`` for an account in another region."""
    start_streams: bool = False
    """Stream calls by that API: those of which a status callback says that they are in progress, and anew those whose stream was
    lost, also by a restart of vcond. No TwiML has to name the stream then. Needs ``auth_tokens``."""
    stop_on_pause: bool = False
    """While recording of a call is paused, its stream is stopped at Twilio, and started again afterwards. Needs ``auth_tokens``."""

    def login(self) -> tuple[str, str]:
        """User and password for the REST API."""
        return (self.api_key, self.api_secret) if self.api_key else (self.account_sid, self.auth_tokens[0])

    def checked(self) -> TwilioConfig:
        """This configuration, when its values can work together. Raises ConfigError."""
        where = "adapters.twilio."
        if self.api_key and not self.api_secret:
            raise ConfigError("must be set with api_key", where + "api_secret")
        if self.account_sid and not (self.api_key or self.auth_tokens):
            raise ConfigError(
                "set auth_tokens, or api_key and api_secret: the REST API asks who you are", where + "account_sid"
            )
        for name, on in (("start_streams", self.start_streams), ("stop_on_pause", self.stop_on_pause)):
            if on and not (self.account_sid and self.auth_tokens):
                raise ConfigError("needs account_sid and auth_tokens", where + name)
        return self
