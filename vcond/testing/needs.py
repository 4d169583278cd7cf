"""What a test cannot do without: a peer, another library, a speech model, a program."""

from __future__ import annotations

import os

import pytest


def needs(there: object, what: str) -> None:
    """Go on if it is there; else skip the test, or a module while it is imported, and with ``CI=true`` fail it.

    ``what`` says what is missing and how it is had. Not for what this kernel or these rights do not allow: no package
    brings that, so such a test is skipped everywhere.
    """
    if there:
        return
    if os.environ.get("CI", "").lower() in {"", "0", "false"}:
        pytest.skip(what, allow_module_level=True)
    pytest.fail(what, pytrace=False)
