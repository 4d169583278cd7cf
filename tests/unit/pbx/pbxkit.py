"""The least of a PBX adapter."""

from __future__ import annotations

from dataclasses import dataclass, field

from vcond import pbx
from vcond.adapter import Cause, Instant, Who
from vcond.testing.desk import MemoryDesk


@dataclass(frozen=True)
class Wants:
    include: list[str] = field(default_factory=lambda: ["*"])
    exclude: list[str] = field(default_factory=lambda: ["boss*"])
    include_contexts: list[str] = field(default_factory=lambda: ["*"])
    exclude_contexts: list[str] = field(default_factory=lambda: ["test"])
    record_supervisors: bool = False
    max_calls: int = 2


class Plain(pbx.Conversation[pbx.Leg]):
    """The least that an adapter adds."""

    def __init__(self, key: str, desk: MemoryDesk) -> None:
        super().__init__(key, desk.clock.now(), desk, Wants())
        self.desk = desk
        self.heard: list[str] = []

    def _listen(self, leg: pbx.Leg) -> None:
        if leg.channel not in self.heard:
            self.heard.append(leg.channel)

    def _stop(self, leg: pbx.Leg, at: Instant) -> None:
        if leg.channel in self.heard:
            self.heard.remove(leg.channel)

    def _talking(self, leg: pbx.Leg) -> bool:
        return leg.up is not None

    def _machine(self) -> pbx.Leg | None:
        return None

    def _word(self, codes: Cause) -> str:
        return codes.text

    def leg(self, channel: str, *, context: str = "pbx", up: bool = True) -> pbx.Leg:
        now = self.desk.clock.now()
        leg = pbx.Leg(channel, channel, None, self, now, context, who=Who(tel="+15550100"))
        leg.up = now if up else None
        self.add(leg)
        self.settle(now)
        return leg
