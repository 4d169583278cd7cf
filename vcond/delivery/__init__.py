"""The outbox: a finished vCon reaches every sink, or says why not.

Its parts are imported when they are named: who reads the configuration needs ``OutboxConfig`` and none of the rest.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vcond.delivery.config import OutboxConfig
    from vcond.delivery.forms import FormedSink
    from vcond.delivery.model import ConflictError, Delivery, Entry, ForgottenError, SinkState
    from vcond.delivery.outbox import Outbox
    from vcond.delivery.resend import Again

__all__ = [
    "Again",
    "ConflictError",
    "Delivery",
    "Entry",
    "ForgottenError",
    "FormedSink",
    "Outbox",
    "OutboxConfig",
    "SinkState",
]
_PARTS = {"Again": "resend", "FormedSink": "forms", "Outbox": "outbox", "OutboxConfig": "config"}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_PARTS.get(name, 'model')}"), name)
