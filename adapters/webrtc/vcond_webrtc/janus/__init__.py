"""Janus's VideoRooms, each publisher on a track of its own: a second adapter of this package."""

from vcond_webrtc.janus.adapter import JanusAdapter

__all__ = ["JanusAdapter"]
