"""The outbox: a finished vCon reaches every sink, or says why not."""

from vcond.delivery.forms import FormedSink
from vcond.delivery.model import ConflictError, Delivery, Entry, SinkState
from vcond.delivery.outbox import Outbox, OutboxConfig
from vcond.delivery.resend import Again

__all__ = ["Again", "ConflictError", "Delivery", "Entry", "FormedSink", "Outbox", "OutboxConfig", "SinkState"]
