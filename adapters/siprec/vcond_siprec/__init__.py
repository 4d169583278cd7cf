"""SIPREC: calls that session border controllers and proxies send to be recorded (RFC 7865, RFC 7866)."""

from vcond_siprec.adapter import SiprecAdapter
from vcond_siprec.config import SiprecConfig

__all__ = ["SiprecAdapter", "SiprecConfig"]
