"""The record: build, validate, serialise. Pure."""

from __future__ import annotations

from vcond.vcon.building.build import BuildOptions, Built, Media, build, build_with_media
from vcond.vcon.model import Document
from vcond.vcon.profiles import Profile, fit, preflight
from vcond.vcon.serialize import pack, read, serialize
from vcond.vcon.upgrade import upgrade
from vcond.vcon.validation.findings import Finding
from vcond.vcon.validation.validate import validate

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
