"""Names of files and folders of ours."""

from __future__ import annotations

from uuid import UUID


def is_uuid(name: str) -> bool:
    """Whether it is a uuid as it is written in a vCon: lower case, with hyphens. Anything else may be a path."""
    try:
        return str(UUID(name)) == name
    except ValueError:
        return False


def uuid_in(name: str) -> str:
    """The uuid with which the name of a file begins, behind the dot of one that is only half written; "" when it is none."""
    uuid = name.lstrip(".")[:36]
    return uuid if is_uuid(uuid) else ""
