"""Media streams of CPaaS platforms and PBXs for vcond: one adapter, a dialect each."""

from vcond_stream.adapter import StreamAdapter
from vcond_stream.config import StreamConfig

__all__ = ["StreamAdapter", "StreamConfig"]
