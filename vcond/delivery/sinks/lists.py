"""What the conserver's own configuration says of the lists that a sink delivers to. Pure."""

from __future__ import annotations

import hmac
from collections.abc import Mapping, Sequence
from typing import Any

from vcond.sdk.sink import Seen


def config_rows(config: Mapping[str, Any], lists: Sequence[str], key: str, mode: str) -> list[Seen]:
    """Whether each list exists, accepts the key and is read by a chain. ``config`` is the answer of ``GET /config``.

    It holds the keys of everybody: nothing of them is said.
    """
    found = []
    for name in lists:
        if mode == "external-ingress" and (wrong := _key(config, name, key)) is not None:
            found.append(wrong)
            continue
        readers = _readers(config, name)
        if readers:
            taken = " accepts the key and" if mode == "external-ingress" else ""
            found.append(Seen("ok", f"list {name}{taken} is read by chain {', '.join(readers)}"))
        else:
            others = _known(name for chain in _chains(config).values() for name in _lists(chain))
            fix = f"correct `ingress_lists`, or add this list to a chain; lists that chains read: {others}"
            found.append(
                Seen("error", f"list {name}: no chain reads it; the conserver deletes what arrives after an hour", fix)
            )
    return found


def _key(config: Mapping[str, Any], name: str, key: str) -> Seen | None:
    """What is wrong with list or key for external-ingress; None when nothing is."""
    auth = config.get("ingress_auth")
    keys = auth.get(name) if isinstance(auth, dict) else None
    if keys is None:
        others = _known(auth if isinstance(auth, dict) else ())
        fix = f"correct `ingress_lists`, or add the list to ingress_auth of the conserver; existing lists: {others}"
        return Seen("error", f"list {name}: the conserver's ingress_auth has no such list", fix)
    known = [keys] if isinstance(keys, str) else keys if isinstance(keys, list) else []
    if not any(isinstance(one, str) and hmac.compare_digest(one.encode(), key.encode()) for one in known):
        return Seen("error", f"list {name}: `token` is not a key of this list", "correct `token`: see ingress_auth")
    return None


def _readers(config: Mapping[str, Any], name: str) -> list[str]:
    return [str(chain) for chain, of in _chains(config).items() if name in _lists(of)]


def _chains(config: Mapping[str, Any]) -> Mapping[str, Any]:
    chains = config.get("chains")
    return chains if isinstance(chains, dict) else {}


def _lists(chain: Any) -> Sequence[Any]:
    lists = chain.get("ingress_lists") if isinstance(chain, dict) else None
    return lists if isinstance(lists, list) else []


def _known(names: Any) -> str:
    """Some of the names, or that there are none."""
    return ", ".join(sorted({str(name)[:64] for name in names})[:10]) or "none"
