"""The configuration as it is in force, and one to start from."""

from __future__ import annotations

import re
from importlib import resources
from typing import Any

import msgspec

from vcond.config import Loaded

_SECRET = ("token", "password", "secret", "key")
_KEPT_BY_NAME = re.compile(r"^(hub\.ingress_lists|adapters\..+\.(users|pins|webhooks))\.")
"""Tables in which passwords, PINs and keys stand under names that an operator thought of."""
_USER = re.compile(r"(?<=://)[^/?#@]+@")
"""Who an address is used as: name and password."""


def in_force(loaded: Loaded) -> list[dict[str, Any]]:
    """Every key with its value and where it comes from: ``default``, a file, a variable, and by reference from a credential.

    What is secret by its name, in an address, or kept elsewhere, is not shown.
    """
    rows: list[dict[str, Any]] = []

    def walk(value: Any, at: str) -> None:
        if isinstance(value, dict):
            for key, item in value.items():
                walk(item, f"{at}.{key}" if at else str(key))
        elif isinstance(value, list) and value and isinstance(value[0], dict):
            for i, item in enumerate(value):
                walk(item, f"{at}[{i}]")
        else:
            from_where = [where for key, where in loaded.referred.items() if key == at or key.startswith(f"{at}[")]
            secret = any(word in at for word in _SECRET) or _KEPT_BY_NAME.match(at)
            hidden = value and (from_where or secret)
            shown = "(set)" if hidden else _USER.sub("(set)@", value) if isinstance(value, str) else value
            origin = ", ".join([loaded.origin.get(at.partition("[")[0], "default"), *dict.fromkeys(from_where)])
            rows.append({"key": at, "value": shown, "origin": origin})

    walk(msgspec.to_builtins(loaded.config), "")
    return rows


def sample() -> str:
    """The sample configuration that comes with vcond."""
    return resources.files("vcond.config").joinpath("sample.toml").read_text("utf-8")
