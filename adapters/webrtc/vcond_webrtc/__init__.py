"""WebRTC for vcond: browsers publish by WHIP (RFC 9725)."""

from vcond_webrtc.adapter import WebRtcAdapter
from vcond_webrtc.config import WebRtcConfig

__all__ = ["WebRtcAdapter", "WebRtcConfig"]
