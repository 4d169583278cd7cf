"""What the applications of a dialplan, the ends of a Dial and what was dialled say about a call."""

from __future__ import annotations

from typing import Final

APP_FACTS: Final = {"Queue": "queue", "ConfBridge": "conference", "VoiceMail": "mailbox"}
"""Applications whose first argument is worth keeping, and under which name."""
MACHINES: Final = frozenset(
    {"AGI", "EAGI", "AudioSocket", "BackGround", "ControlPlayback", "Dictate", "Echo", "Playback", "Read", "Record",
     "SpeechBackground", "Stasis", "VoiceMail", "VoiceMailMain"}
)  # fmt: skip
"""Applications that answer a call in a human's stead: who ends in one of them was not left unanswered."""
STAYING_APPS: Final = frozenset({"AgentLogin", "ConfBridge", "MeetMe"})
"""Applications in which an agent's channel stays up from one customer to the next."""
SPIES: Final = frozenset({"ChanSpy", "ExtenSpy"})
"""Applications that only listen in on others, or whisper to them."""
BEFORE: Final = frozenset(
    {"", "Answer", "AppDial2", "ExecIf", "Gosub", "GosubIf", "Goto", "GotoIf", "Macro", "NoOp", "Progress", "Return", "Set",
     "Wait"}
)  # fmt: skip
"""Applications after which it is open what a leg that is alone is there for: it may begin to listen in on others."""
FAILURES: Final = frozenset(
    {"BUSY", "CANCEL", "CHANUNAVAIL", "CONGESTION", "DONTCALL", "NOANSWER", "TORTURE", "INVALIDARGS"}
)
"""Ends of a Dial that reached nobody."""
REFUSALS: Final = frozenset({"ABORT", "CONTINUE", "GOTO"})
"""Ends of a Dial whose callee answered, was asked whether he takes the call, and did not (``U()``)."""
NOT_DIALLED: Final = frozenset({"", "s", "h", "i", "t", "e", "T"})
"""Extensions that nobody dials."""
