"""The least of a PBX adapter."""

from __future__ import annotations

from dataclasses import dataclass, field

from vcond import sdk
from vcond.sdk.contract import Cause, Instant, PartyInfo
from vcond.testing.host import MemoryHost


@dataclass(frozen=True)
class Wants:
    include: list[str] = field(default_factory=lambda: ["*"])
    exclude: list[str] = field(default_factory=lambda: ["boss*"])
    include_contexts: list[str] = field(default_factory=lambda: ["*"])
    exclude_contexts: list[str] = field(default_factory=lambda: ["test"])
    record_supervisors: bool = False
    max_calls: int = 2


class Plain(sdk.Conversation[sdk.Leg]):
    """The least that an adapter adds."""

    def __init__(self, key: str, host: MemoryHost) -> None:
        super().__init__(key, host.clock.now(), host, Wants())
        self.host = host
        self.heard: list[str] = []

    def _listen(self, leg: sdk.Leg) -> None:
        if leg.channel not in self.heard:
            self.heard.append(leg.channel)

    def _stop(self, leg: sdk.Leg, at: Instant) -> None:
        if leg.channel in self.heard:
            self.heard.remove(leg.channel)

    def _talking(self, leg: sdk.Leg) -> bool:
        return leg.up is not None

    def _machine(self) -> sdk.Leg | None:
        return None

    def _word(self, codes: Cause) -> str:
        return codes.text

    def leg(self, channel: str, *, context: str = "pbx", up: bool = True) -> sdk.Leg:
        now = self.host.clock.now()
        leg = sdk.Leg(channel, channel, None, self, now, context, who=PartyInfo(tel="+15550100"))
        leg.up = now if up else None
        self.add(leg)
        self.settle(now)
        return leg
