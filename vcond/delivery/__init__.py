"""The outbox: a finished vCon reaches every sink, or says why not."""

from vcond.delivery.forms import ShapedSink
from vcond.delivery.model import ConflictError, Delivery, Entry, Receipt, Refused, Retry, Sealed, Seen, Sink, SinkState
from vcond.delivery.outbox import Outbox, OutboxConfig
from vcond.delivery.sinks.conserver import ConserverConfig, ConserverSink
from vcond.delivery.sinks.folder import FolderConfig, FolderSink

__all__ = [
    "ConflictError",
    "ConserverConfig",
    "ConserverSink",
    "Delivery",
    "Entry",
    "FolderConfig",
    "FolderSink",
    "Outbox",
    "OutboxConfig",
    "Receipt",
    "Refused",
    "Retry",
    "Sealed",
    "Seen",
    "ShapedSink",
    "Sink",
    "SinkState",
]  # fmt: skip
