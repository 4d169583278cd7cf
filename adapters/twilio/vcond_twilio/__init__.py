"""Twilio Media Streams for vcond."""

from vcond_twilio.adapter import TwilioAdapter
from vcond_twilio.config import TwilioConfig

__all__ = ["TwilioAdapter", "TwilioConfig"]
