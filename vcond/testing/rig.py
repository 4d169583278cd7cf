"""What an adapter's author writes to run the conformance suite: a system with which calls can be placed.

A rig is the other side of the adapter: a scripted peer, or a real one on loopback. ``Rig`` and ``RigCall`` are to be
subclassed; what a system cannot do is left out of ``Rig.can`` and needs no method.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Literal

from vcond.media.codecs import Pcm
from vcond.sdk.contract import Adapter
from vcond.testing.host import MemoryHost

Ability = Literal[
    "digits",
    "hold",
    "pause",
    "unanswered",
    "cut",
    "resume",
    "restart",
    "garbage",
    "stop",
    "renew",
    "clock",
    "suspend",
]
"""
digits      a party can press a key
hold        a party can hold the other
pause       a party, or the platform, can pause the recording
unanswered  a call can ring and not be answered
cut         the connection that carries a call can be lost without a hang-up
resume      after a cut the same call can go on (``RigCall.resume``)
restart     a call can go on after vcond was killed and started again (``RigCall.resume`` with the new host)
stop        the audio of the caller can stop while its leg lives (``RigCall.stop_audio``)
renew       that audio comes again when the adapter asks for it anew (``RigCall.renewed``)
garbage     bytes that make no sense can be sent to the adapter
suspend     a call goes on when the machine of vcond slept for a quarter of an hour
clock       the system says when things happened, by a clock of its own (``Rig.set_clock``)
"""


class RigCall(ABC):
    """A call that the rig placed. The caller is the first party, the callee the second."""

    key: str
    """The adapter's key of the call, as in ``host.by_key(key)``."""

    @abstractmethod
    async def speak(self, caller: Pcm, callee: Pcm) -> None:
        """Both speak at once, 8 kHz samples of the same length; returns when all has been sent.

        A frame is sent once it was spoken: wait its 20 ms first. What comes earlier lies before the call, and is cut.
        """

    @abstractmethod
    async def hang_up(self) -> None:
        """The call ends as calls end."""

    async def press(self, digit: str) -> None:
        """The caller presses a key."""
        raise NotImplementedError

    async def hold(self, *, on: bool) -> None:
        """The callee holds the caller, or takes it back."""
        raise NotImplementedError

    async def pause(self, *, on: bool) -> None:
        """The caller pauses the recording, or lets it go on."""
        raise NotImplementedError

    async def cut(self) -> None:
        """The connection is lost, without a word."""
        raise NotImplementedError

    async def stop_audio(self) -> None:
        """Nothing comes of the caller any more, nor of the callee where one connection brings both; both are there."""
        raise NotImplementedError

    async def renewed(self, host: MemoryHost) -> None:
        """Return when the adapter has made the tap again, so that the caller can be heard."""
        raise NotImplementedError

    async def resume(self, host: MemoryHost) -> None:
        """The same call goes on after a cut, or after a restart with another host; returns when it can be spoken on.

        ``host.is_attached`` may still be from before the cut: wait for the adapter's new connection.
        """
        raise NotImplementedError


class Rig(ABC):
    """A system for the adapter. Made once a test; ``start`` and ``stop`` run in the test's event loop."""

    virtual: bool = True
    """Whether tests run in virtual time. False when the peer is another process."""
    can: frozenset[Ability] = frozenset()
    private: Sequence[str] = ()
    """Numbers, names and secrets that the rig uses: none may be found in a log line."""
    tolerance_ms: float = 40.0
    """By how much the two parties' audio may be apart, and a track shorter or longer than its call."""
    patience: float = 30.0
    """Seconds within which everything must have happened (virtual ones if ``virtual``)."""

    @abstractmethod
    def adapter(self) -> Adapter:
        """A fresh adapter, configured for this system. Also asked for before ``start``, to see what it is."""

    async def start(self) -> None:  # noqa: B027 - not every system needs it
        """Start the system."""

    async def stop(self) -> None:  # noqa: B027 - not every system needs it
        """Stop the system and whatever calls it still has."""

    @abstractmethod
    async def place(self, host: MemoryHost, *, answered: bool = True) -> RigCall:
        """Place a call and return once it is answered (or rings, for one that will not be) and can be spoken on.

        The adapter has said ``attached(True)``.
        """

    async def garbage(self, host: MemoryHost) -> None:
        """Send to the adapter what makes no sense."""
        raise NotImplementedError

    def set_clock(self, seconds: float) -> None:
        """The system's own clock is so many seconds ahead of ours from now on."""
        raise NotImplementedError

    async def leftovers(self) -> Sequence[str]:
        """What the adapter put into the system and did not remove: helpers, sockets, subscriptions.

        Asked as soon as ``run`` has ended: what was closed may still be on its way, so wait a moment for it.
        """
        return ()
