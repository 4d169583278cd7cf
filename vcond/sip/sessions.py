"""When sessions are to be refreshed, and when they run out. RFC 4028 section 10."""

from __future__ import annotations

from collections.abc import Iterator

from vcond.base.time import SECOND, Instant
from vcond.sip.application import DialogId
from vcond.sip.dialogs import DialogState
from vcond.sip.timers import Timers


class SessionTimers:
    """Of all dialogs that have one."""

    def __init__(self) -> None:
        self._timers: Timers[tuple[DialogId, bool]] = Timers()
        self._dialogs: dict[DialogId, DialogState] = {}

    def arm(self, dialog: DialogState, now: Instant) -> None:
        """It was refreshed, or none was agreed on."""
        self.drop(dialog)
        if dialog.session is not None:
            interval, ours = dialog.session
            self._dialogs[dialog.id] = dialog
            self._timers.set((dialog.id, False), Instant(now + interval * SECOND))
            if ours:
                self._timers.set((dialog.id, True), Instant(now + interval * SECOND // 2))

    def drop(self, dialog: DialogState) -> None:
        """It is over."""
        self._dialogs.pop(dialog.id, None)
        for refresh in (True, False):
            self._timers.drop((dialog.id, refresh))

    def due(self) -> Instant | None:
        """When ``pop`` gives something."""
        return self._timers.due()

    def pop(self, now: Instant) -> Iterator[tuple[DialogState, bool]]:
        """Those that are to be refreshed by us (True), and those that ran out (False)."""
        for name, refresh in self._timers.pop(now):
            yield self._dialogs[name], refresh
