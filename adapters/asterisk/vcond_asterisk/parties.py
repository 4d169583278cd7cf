"""Who a channel is: never what was shown to it, and nothing of who hid the number. Pure."""

from __future__ import annotations

import re
import unicodedata
from typing import Final
from urllib.parse import quote, unquote

from vcond.sdk import TEL, clean
from vcond.sdk.contract import PartyInfo, hides
from vcond_asterisk.config import Config
from vcond_asterisk.wire import CallerId, Channel

HELPERS: Final = frozenset(
    {
        "Announcer", "AudioSocket", "Bridge", "CBAnn", "CBRec", "ConfBridgeRecorder", "Message", "Multicast", "MulticastRTP",
        "OutgoingSpoolFailed", "Recorder", "Snoop", "Substitute", "Surrogate", "UnicastRTP", "Voicemail", "WebSocket",
    }
)  # fmt: skip
"""Technologies of channels that are no party: taps, announcers, recorders, media of other applications."""
MEDIA: Final = frozenset({"AudioSocket", "UnicastRTP", "WebSocket"})
"""Those of them by which another application hears and speaks: in a bridge with a party it is a bot."""
LOCAL: Final = "Local"
"""Channels that only connect two places of the dialplan. Tapping one would record somebody twice."""
CALLED: Final = frozenset({"AppDial", "AppDial2"})
"""What the application of a channel is called that Asterisk itself called: by Dial or Queue; by an origination."""
SEPARATORS: Final = dict.fromkeys(map(ord, " ()[]-./\t\N{EN DASH}\N{HYPHEN}\N{NON-BREAKING HYPHEN}\N{MINUS SIGN}"))
"""Visual separators of telephone numbers (RFC 3966 section 5.1.1), and what people write for them."""
KEYS: Final = str.maketrans("ABCDEFGHIJKLMNOPQRSTUVWXYZ", "22233344455566677778889999")
"""Letters of a telephone's keys (ITU-T E.161)."""
HIDDEN: Final = PartyInfo(hidden=True)
"""Who hid the number: nothing else is told of him."""
_SCHEME: Final = re.compile(r"(?i)(tel|sips?):")
_TRUNK_ZERO: Final = re.compile(r"(\+[0-9]{1,3})\s*\(0\)")
_EXTENSION: Final = re.compile(r"(?i)(?<=[0-9)])[\s,]*(?:ext\.?|x|#)\s*[0-9]{1,8}\Z")
_VANITY: Final = re.compile(r"\+?[0-9]{1,4}[A-Z]{4,}[0-9A-Z]*")
_HOST: Final = re.compile(r"(?i)sips?:[^@]*\Z")
_WAITS: Final = re.compile(r"[wWpP](?=[0-9+*#wWpP])")
_USER: Final = "-_.!~*'()&=+$,;?/"
"""Characters of a SIP user part that need no escape (RFC 3261 section 25.1)."""


def is_party(channel: Channel) -> bool:
    """Whether a channel stands for somebody who can speak."""
    return channel.technology not in HELPERS and channel.technology != LOCAL


def is_hidden(presentation: str, caller: CallerId) -> bool:
    """Whether a presentation (``CALLERID(pres)``: ``prohib_not_screened``, ...) says that the caller hid the number."""
    return presentation.startswith("prohib") or (presentation == "unavailable" and bool(caller.number or caller.name))


def telephone(text: str) -> str:
    """The telephone number that a text is, without visual separators; empty when it is none.

    Takes what people, dialplans and carriers write: ``+1 (555) 010-0312``, ``tel:+1-555-0100;ext=7``,
    ``sip:+15550100@host;user=phone``, ``1-800-FLOWERS``, ``+49 (0)30 123456``. Seven digits and more.
    """
    text = _plain(text)
    text = _EXTENSION.sub("", _TRUNK_ZERO.sub(r"\1", text))
    text = text.translate(SEPARATORS)
    if _VANITY.fullmatch(text):
        text = text.translate(KEYS)
    return text if text.isascii() and TEL.fullmatch(text) else ""


def _plain(text: str) -> str:
    """The user part of an address, or a number without scheme and parameters."""
    text = unicodedata.normalize("NFKC", unquote(text)).strip().strip("<>")
    text = _SCHEME.sub("", text, count=1) if _SCHEME.match(text) else text
    return text.partition(";")[0].partition("@")[0].strip()


def address(number: str, name: str, config: Config) -> PartyInfo:
    """A number and a name as a party: a telephone number, or an extension as a SIP address. Nothing of it is verified.

    Numbers of seven digits and more are telephone numbers.
    """
    number, name = clean(number), unescaped(clean(name))
    user, tel = _plain(number), telephone(number)
    name = "" if name == number or (tel and telephone(name) == tel) else name
    short = user.translate(SEPARATORS)
    user = short if re.fullmatch(r"[0-9*#+]+", short) else user
    if user and hides(PartyInfo(tel=user, name=name)):
        return HIDDEN
    sip = f"{quote(user, safe=_USER)}@{config.host()}" if user and not tel else ""
    who = PartyInfo(tel=tel, sip=sip, name=name, validation="none" if name else "")
    return HIDDEN if hides(who) else who


def unescaped(name: str) -> str:
    r"""A name without the backslashes and quotes of a quoted string (RFC 3261 section 25.1): ``Smith \"Jr\"``."""
    if len(name) > 1 and name[0] == name[-1] == '"' and not name.endswith(r"\""):
        name = name[1:-1]
    return re.sub(r"\\(.)", r"\1", name).strip()


def dialled_number(dialstring: str) -> str:
    """The number in what a Dial was told to call, without its technology; empty when that names an endpoint only.

    ``15550100200@trunk``, ``trunk/sip:+15550100200@host``, ``g0/w15550100200/c``, ``user:secret@host/15550100200@ctx``.
    """
    endpoint, slash, rest = dialstring.partition("/")
    if slash:
        rest = rest.partition("/")[0]
        number = "" if _HOST.match(rest) else _plain(rest).partition(":")[0].partition("&")[0]
    else:
        number, at, _ = endpoint.partition("@")
        number = _plain(number) if at else ""
        number = "" if ":" in number else number  # a user and a secret
    number = _WAITS.sub("", number)
    return number if any(c.isdigit() for c in number) else ""


def called(dialstring: str, own: CallerId, endpoint: str, config: Config, *, inside: bool | None) -> PartyInfo:
    """Who somebody is whom Asterisk called: the number that was dialled, or the endpoint's own identity.

    ``own`` is the caller id with which the channel was made, which is the endpoint's; what came later was shown to it.
    """
    number = "" if inside else dialled_number(dialstring)
    contact = inside is None and _SCHEME.match(dialstring.partition("/")[2])
    if number and not (contact and not telephone(number)):  # else it is how a phone registered, which may be random
        found = address(number, "", config)
        mine = address(own.number, own.name, config)
        return mine if (mine.tel, mine.sip) == (found.tel, found.sip) else found
    if own.number or inside is False:
        return address(own.number, own.name, config)
    return address(endpoint.partition("/")[2].partition("@")[0], own.name, config)
