"""How often somebody may ask, and how many sessions somebody may have. Pure."""

from __future__ import annotations

import math
from collections import Counter, OrderedDict
from collections.abc import Collection
from ipaddress import IPv6Address, ip_address, ip_network
from typing import Final

from vcond.sdk.contract import SECOND, Instant

MOST_KNOWN: Final = 10_000
"""Askers that are remembered; the one that was quiet for longest is forgotten first."""
MINUTE: Final = 60 * SECOND

QuotaKeys = tuple[tuple[str, str], ...]
"""All that a session counts for: a kind of limit, and whose."""


class Rate:
    """So many requests a minute of each asker: a bucket that is full at first and is filled steadily."""

    def __init__(self, per_minute: int) -> None:
        self._most = per_minute
        self._levels: OrderedDict[str, tuple[float, Instant]] = OrderedDict()

    def wait(self, who: str, now: Instant) -> int:
        """Take one; 0, or when there is none, the whole seconds until there is."""
        level, since = self._levels.pop(who, (float(self._most), now))
        level = min(self._most, level + max(0, now - since) * self._most / MINUTE)
        self._levels[who] = (level - 1 if level >= 1 else level, now)
        if len(self._levels) > MOST_KNOWN:
            self._levels.popitem(last=False)
        return 0 if level >= 1 else max(1, math.ceil((1 - level) * 60 / self._most))


class SessionQuotas:
    """How many sessions there are, by the kinds of their limits."""

    def __init__(self, most: dict[str, int]) -> None:
        self._most = most
        self._taken: Counter[tuple[str, str]] = Counter()

    def full(self, quota_keys: QuotaKeys) -> str:
        """The first kind whose limit is reached; empty when there is room."""
        return next((kind for kind, who in quota_keys if self._taken[kind, who] >= self._most[kind]), "")

    def take(self, quota_keys: QuotaKeys) -> None:
        """One session more."""
        self._taken.update(quota_keys)

    def leave(self, quota_keys: QuotaKeys) -> None:
        """One less; what nobody has any more is forgotten."""
        self._taken -= Counter(quota_keys)


def asker(remote: str, forwarded: str, proxies: Collection[str]) -> str:
    """Whose request it is: an IPv4 address, or the /64 of an IPv6 one, which is what one customer has.

    ``forwarded`` is X-Forwarded-For, of which a proxy of ours wrote the last word; others' are not believed.
    """
    told = forwarded.rpartition(",")[2].strip() if remote in proxies and forwarded else remote
    try:
        address = ip_address(told)
    except ValueError:
        return remote
    if isinstance(address, IPv6Address):
        return str(address.ipv4_mapped or ip_network((address, 64), strict=False).network_address)
    return str(address)
