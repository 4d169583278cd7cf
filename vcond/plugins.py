"""What is installed: adapters and sinks by name. Adapters come only through entry points; ours have no privilege."""

from __future__ import annotations

from importlib.metadata import entry_points
from typing import Any

import msgspec

from vcond.adapter import Adapter
from vcond.config import Config, plugin_configs
from vcond.config.load import convert
from vcond.delivery import ConserverConfig, ConserverSink, FolderConfig, FolderSink
from vcond.errors import ConfigError, MissingExtraError

GROUP = "vcond.adapters"
SINKS: dict[str, tuple[type[msgspec.Struct], Any]] = {
    "conserver": (ConserverConfig, ConserverSink),
    "folder": (FolderConfig, FolderSink),
}


def adapters(config: Config) -> dict[str, Adapter]:
    """The configured adapters by name. Raises ConfigError, or MissingExtraError for one that lacks its packages."""
    installed = {point.name: point for point in entry_points(group=GROUP)}
    kinds: dict[str, Any] = {}
    for name in config.adapters:
        if name in installed:
            try:
                kinds[name] = installed[name].load()
            except ImportError as why:
                raise MissingExtraError(
                    f"adapter {name!r} needs a package that is not installed ({why.name}): pip install 'vcond[{name}]'"
                ) from why
    known = {name: kinds[name].Config if name in kinds else msgspec.Struct for name in installed}
    typed = plugin_configs(config.adapters, known, "adapters")
    return {name: kinds[name](section) for name, section in typed.items()}


def sinks(config: Config) -> list[ConserverSink | FolderSink]:
    """The configured sinks in order, each under a name of its own. Raises ConfigError."""
    made: list[ConserverSink | FolderSink] = []
    names: set[str] = set()
    for i, section in enumerate(config.sinks):
        at = f"sinks[{i}]"
        kind = section.get("type", "")
        if kind not in SINKS:
            raise ConfigError(f"type must be one of: {', '.join(sorted(SINKS))}", f"{at}.type")
        name = section.get("name", kind)
        if name in names:
            raise ConfigError(f"two sinks are named {name!r}; give each its own name", f"{at}.name")
        names.add(name)
        struct, sink = SINKS[kind]
        made.append(sink(convert({k: v for k, v in section.items() if k != "type"} | {"name": name}, struct, at)))
    return made
