"""TLS for adapters and sinks: contexts to connect with (``client``), and certificates that are read again (``Served``)."""

from __future__ import annotations

from vcond.base.tls import Served, client

__all__ = ["Served", "client"]
