"""What FreeSWITCH and its modules say of taps."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from vcond.sdk.contract import Instant
from vcond_freeswitch import commands
from vcond_freeswitch.events import Event
from vcond_freeswitch.filetap import FileTap
from vcond_freeswitch.leftovers import belongs, ours
from vcond_freeswitch.taps import TapManager

_BROKEN: Final = {
    "mod_audio_stream::error": "FreeSWITCH cannot connect to vcond, or lost the connection",
    "mod_audio_stream::disconnect": "FreeSWITCH closed the connection",
    "mod_audio_fork::connect_failed": "FreeSWITCH cannot connect to vcond",
    "mod_audio_fork::disconnect": "FreeSWITCH closed the connection",
}
"""What the modules say when no more audio comes of a channel."""


class TapEvents:
    """Events in; taps that were lost are started again, those that are where they must not be are taken off."""

    def __init__(self, manager: TapManager) -> None:
        self._manager = manager
        self._starter = manager.starter

    def event(self, event: Event, at: Instant) -> None:
        """What FreeSWITCH says of taps."""
        self._starter.ends(event)
        if event.name == "CHANNEL_UUID":
            self._manager.renamed(event.old_leg, event.leg)
        elif event.name == "RECORD_START":
            self._stray(event.leg, event.record_path)
        elif event.name == "RECORD_STOP":
            tap = self._manager.taps.get(event.leg)
            if isinstance(tap, FileTap) and event.record_path == str(tap.path):
                tap.wrote(event)
                tap.look(at)
                self._manager.renew(tap, "FreeSWITCH stopped it")
        elif event.name == "MEDIA_BUG_START":
            self._moved(event, at)
            self._stray(event.leg, event.bug_target)
        elif event.name == "MEDIA_BUG_STOP":
            tap = self._manager.taps.get(event.leg)
            if isinstance(tap, FileTap) and event.bug_target == str(tap.path):
                tap.look(at)
                self._manager.renew(tap, "FreeSWITCH stopped it")
        elif event.name == "CUSTOM":
            self._module(event)

    def _module(self, event: Event) -> None:
        """What a module says of its connection."""
        tap = self._manager.taps.get(event.leg)
        if tap is None or isinstance(tap, FileTap):
            return
        if event.subclass in _BROKEN:
            if not tap.is_there([]) and event.subclass.endswith("::disconnect"):
                return  # what was there is known to be over, and what comes was not there yet
            self._starter.doubt(tap, _BROKEN[event.subclass])
        elif event.subclass == "mod_audio_fork::buffer_overrun":
            self._manager.host.dropped("frame", "overrun")
            self._manager.reports.once(tap, "audio-missing", "the switch could not send all audio of a party in time")

    def _moved(self, event: Event, at: Instant) -> None:
        """A tap of ours that FreeSWITCH moved to another leg (``recording_follow_transfer``) is made anew on its own."""
        for channel, tap in list(self._manager.taps.items()):
            if isinstance(tap, FileTap) and event.bug_target == str(tap.path) and channel != event.leg:
                self._manager.host.dropped("tap", "moved")
                self._manager.host.log.warning(
                    "FreeSWITCH moved a tap to another channel, restarting it",
                    channel=channel,
                    hint="recording_follow_transfer must not be set on calls that vcond records",
                )
                self._manager.stop(tap.leg, at)
                if self._starter.lives(tap.leg):
                    self._manager.start(tap.leg)

    def _stray(self, channel: str, target: str) -> None:
        """A tap of ours that is where it does not belong, or came when it was given up, is taken off."""
        path = Path(target)
        if self._starter.connection is None or not ours(path, self._manager.config.directory):
            return
        tap = self._manager.taps.get(channel)
        if isinstance(tap, FileTap) and tap.path == path:
            return
        if self._manager.was_spent(target) or not belongs(path, channel):
            self._starter.send(commands.record_stop(channel, target))
            self._manager.leftovers.add(path)
