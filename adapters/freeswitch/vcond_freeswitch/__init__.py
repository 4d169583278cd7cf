"""FreeSWITCH (1.10 and later) over its event socket: a tap of every call on a stock switch, one track a party."""

from vcond_freeswitch.adapter import FreeSwitchAdapter
from vcond_freeswitch.config import Config

__all__ = ["Config", "FreeSwitchAdapter"]
