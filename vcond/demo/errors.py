"""What can stop a demo."""

from __future__ import annotations

from vcond.base.errors import OperatorError


class DemoError(OperatorError):
    """The demo cannot go on; the message says why, and what to do where that is known."""
