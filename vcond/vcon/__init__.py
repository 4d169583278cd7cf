"""The record: build, validate, serialise. Pure.

What builds is imported when it is named: who reads and validates documents needs no sound.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from vcond.vcon.model import Document
from vcond.vcon.profiles import Profile, fit, preflight
from vcond.vcon.serialize import pack, read, serialize
from vcond.vcon.upgrade import upgrade
from vcond.vcon.validation.findings import Finding
from vcond.vcon.validation.validate import validate

if TYPE_CHECKING:
    from vcond.vcon.building.build import BuildOptions, Built, Media, build, build_with_media

__all__ = [
    "BuildOptions",
    "Built",
    "Document",
    "Finding",
    "Media",
    "Profile",
    "build",
    "build_with_media",
    "fit",
    "pack",
    "preflight",
    "read",
    "serialize",
    "upgrade",
    "validate",
]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.building.build"), name)
