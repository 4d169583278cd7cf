"""Names of files and folders of ours."""

from __future__ import annotations

from uuid import UUID


def is_uuid(name: str) -> bool:
    """Whether it is a uuid as it is written in a vCon: lower case, with hyphens. Anything else may be a path."""
    try:
        return str(UUID(name)) == name
    except ValueError:
        return False
