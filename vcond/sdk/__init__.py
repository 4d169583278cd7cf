"""For those who write adapters: the contract (``contract``), and what adapters of PBXs share.

That is legs, the conversation above them, and what their configurations have in common.
"""

from vcond.sdk.call_events import MOST_VARIABLES
from vcond.sdk.conversation import SUPERVISOR, Conversation
from vcond.sdk.leg import Leg
from vcond.sdk.recorded_call import EXCLUDED, RANG
from vcond.sdk.selection import (
    MAX_TEXT,
    TEL,
    USER,
    Pattern,
    Patterns,
    Seconds,
    Selection,
    Variables,
    clean,
    direction,
    matches,
    secret,
)

__all__ = [
    "EXCLUDED",
    "MAX_TEXT",
    "MOST_VARIABLES",
    "RANG",
    "SUPERVISOR",
    "TEL",
    "USER",
    "Conversation",
    "Leg",
    "Pattern",
    "Patterns",
    "Seconds",
    "Selection",
    "Variables",
    "clean",
    "direction",
    "matches",
    "secret",
]
