"""Asterisk (18 to 23) over ARI: a passive tap of every call, one track a party."""

from vcond_asterisk.adapter import AsteriskAdapter
from vcond_asterisk.config import Config

__all__ = ["AsteriskAdapter", "Config"]
