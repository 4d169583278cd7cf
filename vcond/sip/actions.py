"""What the core wants done, in this order: it sends nothing and calls nobody itself."""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple

from vcond.sip.application import End, Flow
from vcond.sip.dialogs import DialogState
from vcond.sip.messages import Request
from vcond.sip.transactions import Transaction


class Kind(StrEnum):
    """What is asked of the application."""

    INVITE = "invite"
    REINVITE = "reinvite"
    UPDATE = "update"


class Send(NamedTuple):
    """Bytes to the other end of a flow; lost when that connection is gone."""

    flow: Flow
    data: bytes


class Ask(NamedTuple):
    """The application is to answer; ``Uas.answer`` takes what it says. One at a time for each dialog."""

    kind: Kind
    dialog: DialogState
    request: Request
    transaction: Transaction


class Acked(NamedTuple):
    """An ACK of a 200, once."""

    dialog: DialogState
    request: Request


class Informed(NamedTuple):
    """An INFO, answered."""

    dialog: DialogState
    request: Request


class Changed(NamedTuple):
    """``saved`` gives something else now."""

    dialog: DialogState


class Doubtful(NamedTuple):
    """Is it still alive? ``Uas.keep`` or ``Uas.hang_up`` takes the answer."""

    dialog: DialogState
    why: End
    """What it ends with if not."""


class Ended(NamedTuple):
    """A dialog is over, also one whose INVITE waits for its answer."""

    dialog: DialogState
    why: End
    request: Request | None


class Odd(NamedTuple):
    """Something was dropped or refused; short fixed words, to be counted."""

    reason: str


Action = Send | Ask | Acked | Informed | Changed | Doubtful | Ended | Odd
