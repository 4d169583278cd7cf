"""The configuration as it is in force, and one to start from."""

from __future__ import annotations

from importlib import resources
from typing import Any

import msgspec

from vcond.config import Loaded

_SECRET = ("token", "password", "secret", "key")


def in_force(loaded: Loaded) -> list[dict[str, Any]]:
    """Every key with its value and where it comes from; what is secret by its name, or kept elsewhere, is not shown."""
    rows: list[dict[str, Any]] = []

    def kept_elsewhere(at: str) -> bool:
        return any(key == at or key.startswith(f"{at}[") for key in loaded.referred)

    def walk(value: Any, at: str) -> None:
        if isinstance(value, dict):
            for key, item in value.items():
                walk(item, f"{at}.{key}" if at else str(key))
        elif isinstance(value, list) and value and isinstance(value[0], dict):
            for i, item in enumerate(value):
                walk(item, f"{at}[{i}]")
        else:
            hidden = value and (any(word in at for word in _SECRET) or kept_elsewhere(at))
            shown = "(set)" if hidden else value
            rows.append({"key": at, "value": shown, "origin": loaded.origin.get(at.partition("[")[0], "default")})

    walk(msgspec.to_builtins(loaded.config), "")
    return rows


def sample() -> str:
    """The sample configuration that comes with vcond."""
    return resources.files("vcond.config").joinpath("sample.toml").read_text("utf-8")
