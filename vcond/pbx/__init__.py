"""What adapters of PBXs share: legs, the conversation above them, and what their configurations have in common.

Imports the contract only, as adapters do.
"""

from vcond.pbx.conversation import EXCLUDED, MOST_VARIABLES, RANG, SUPERVISOR, Conversation
from vcond.pbx.legs import Leg
from vcond.pbx.settings import (
    MAX_TEXT,
    TEL,
    USER,
    Pattern,
    Patterns,
    Seconds,
    Selecting,
    Variables,
    clean,
    direction,
    inside,
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
    "Selecting",
    "Variables",
    "clean",
    "direction",
    "inside",
    "matches",
    "secret",
]
