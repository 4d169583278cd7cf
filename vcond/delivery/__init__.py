"""The outbox: a finished vCon reaches every sink, or says why not."""

from vcond.delivery.forms import FormedSink
from vcond.delivery.model import ConflictError, Delivery, Entry, SinkState
from vcond.delivery.outbox import Outbox, OutboxConfig

__all__ = ["ConflictError", "Delivery", "Entry", "FormedSink", "Outbox", "OutboxConfig", "SinkState"]
