"""Who may send how much. Time is an argument."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from ipaddress import IPv6Address, ip_address, ip_network
from typing import Final

from vcond.base.errors import ConfigError
from vcond.base.time import SECOND, Instant

MOST: Final = 4096
"""Addresses that are remembered."""


class AllowList:
    """Addresses and networks."""

    def __init__(self, allowed: Iterable[str]) -> None:
        """Raises ConfigError for what is neither."""
        try:
            self._networks = [ip_network(text, strict=False) for text in allowed]
        except ValueError:
            raise ConfigError("is not an address or a network, as in 192.0.2.0/24", "allowed") from None
        self._known: dict[str, bool] = {}

    def __contains__(self, host: str) -> bool:
        known = self._known.get(host)
        if known is None:
            if len(self._known) >= MOST:
                self._known.clear()
            known = self._known[host] = self._look(host)
        return known

    def _look(self, host: str) -> bool:
        try:
            address = ip_address(host.partition("%")[0])
        except ValueError:
            return False
        if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
            address = address.ipv4_mapped
        return any(address in network for network in self._networks)


class RateLimit:
    """A token bucket for each address; a second's worth of tokens may be used at once."""

    def __init__(self, per_second: float) -> None:
        self._rate = per_second
        self._full = max(per_second, 1.0)
        self._left: OrderedDict[str, tuple[float, Instant]] = OrderedDict()

    def take(self, host: str, now: Instant) -> bool:
        """Whether there was a token."""
        tokens, at = self._left.pop(host, (self._full, now))
        tokens = min(self._full, tokens + max(0, now - at) / SECOND * self._rate)
        granted = tokens >= 1
        self._left[host] = (tokens - granted, now)
        if len(self._left) > MOST:
            self._left.popitem(last=False)  # who was silent for longest has a full one again
        return granted
