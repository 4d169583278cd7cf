"""What a sink's author writes to run the conformance suite: the receiver, which can be asked what it has.

``SinkRig`` is to be subclassed; what a receiver cannot be made to do is left out of ``SinkRig.can`` and needs no method.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Literal

from vcond.sdk.sink import SinkPlugin

SinkAbility = Literal["down", "refuse", "stall", "lose", "keeps"]
"""
down    the receiver can be out of reach, and come back
refuse  it can say no to a vCon for good
stall   it can take a delivery in and never answer
lose    it can take a vCon and the answer be lost
keeps   it never replaces what it has by other bytes (a sink is not asked for that; one that does is tried)
"""


class SinkRig(ABC):
    """A receiver for the sink. Made once a test; all of it runs in the test's event loop, in real time."""

    can: frozenset[SinkAbility] = frozenset()
    private: Sequence[str] = ()
    """Secrets of the configuration: in no log line, receipt, reason, detail or hint, and found by no look."""
    patience: float = 30.0
    """Seconds that one call of the sink may take."""

    @abstractmethod
    def sink(self) -> SinkPlugin:
        """A new sink for the same receiver: as after a restart."""

    @abstractmethod
    async def received(self) -> Mapping[str, Sequence[bytes]]:
        """What somebody who reads at the receiver finds: by uuid the bytes of each record. More than one is a double."""

    async def start(self) -> None:  # noqa: B027 - a rig may have nothing to start
        """The receiver is there, and empty."""

    async def stop(self) -> None:  # noqa: B027 - nor to stop
        """It goes."""

    async def down(self, *, on: bool) -> None:
        """Nobody reaches it, or it is back with all that it had."""
        raise NotImplementedError

    async def refuse(self) -> None:
        """It says no to the next vCon, for good."""
        raise NotImplementedError

    async def stall(self) -> None:
        """It takes the next delivery in and does not answer."""
        raise NotImplementedError

    async def stalled(self) -> None:
        """Returns once that delivery hangs."""
        raise NotImplementedError

    async def lose(self) -> None:
        """It takes the next vCon, and its answer is lost."""
        raise NotImplementedError
