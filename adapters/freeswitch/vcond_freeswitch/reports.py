"""What is said of taps, in the record and in the log: the same of one tap once, the same of many once a minute."""

from __future__ import annotations

from typing import Final

from vcond.sdk.contract import SECOND, AdapterHost, Instant
from vcond_freeswitch.calls import Leg
from vcond_freeswitch.config import Config
from vcond_freeswitch.tap import Tap

MINUTE: Final = 60 * SECOND
"""Between two lines of the same kind in the log, ns."""


class Reports:
    """Of the taps of one FreeSWITCH."""

    def __init__(self, host: AdapterHost, config: Config) -> None:
        self._host = host
        self._config = config
        self._said: dict[str, Instant] = {}

    def two_channels(self, leg: Leg) -> None:
        """The modules send half of each frame of a codec with two channels (read in their source): better nothing."""
        if not leg.unheard:
            leg.unheard = True
            self._host.dropped("tap", "two-channels")
            leg.warn(
                self._host.clock.now(), "no-audio", "this party's codec has two channels, which the tap cannot send"
            )
            self._seldom(
                "cannot tap channel audio: its codec has two channels, and the module sends only half of that",
                channel=leg.channel, hint='offer opus@48000h@20i@1c (codec-prefs), or tap = "file" beside FreeSWITCH',
            )  # fmt: skip

    def nothing(self, tap: Tap, now: Instant) -> None:
        """Tell, once, that nothing was ever heard of a party."""
        if not tap.state.first("no-audio"):
            return
        self._host.dropped("tap", "no-audio")
        text, fix = "no audio of this party arrives from the switch", tap.hint
        if tap.leg.bypassed:
            text = "the media of this call bypasses the switch: there is nothing to tap"
            fix = "set bypass_media = false in the dialplan or profile, or adapters.freeswitch.pull_media = true"
        tap.leg.warn(now, "no-audio", text)
        self._host.log.warning("no audio from a party", channel=tap.leg.channel, what=text, hint=fix)

    def again(self, tap: Tap, why: str) -> None:
        """A tap that worked is started again."""
        self._host.dropped("tap", "again")
        if tap.heard:
            self.once(tap, "audio-stopped", "the audio of a party stopped coming; it was asked for again")
        self._seldom("tap stopped, restarting it", channel=tap.leg.channel, error=why, hint=tap.hint)

    def refused(self, tap: Tap, why: Exception) -> None:
        """FreeSWITCH did not take a tap."""
        self._host.dropped("tap", "refused")
        self.once(tap, "tap-failed", "this party could not be listened to for a while")
        self._seldom(
            "cannot tap channel audio, retrying while the channel is up",
            channel=tap.leg.channel, tap=tap.kind, error=str(why), hint=f"{tap.hint}; run: vcond check",
        )  # fmt: skip

    def unreadable(self, tap: Tap, why: OSError) -> None:
        """A file of audio cannot be read."""
        self._host.dropped("tap", "unreadable")
        if tap.state.first("no-audio"):
            tap.leg.warn(self._host.clock.now(), "no-audio", "the audio of this party cannot be read")
            self._host.log.error(
                "cannot read the audio files that FreeSWITCH writes",
                error=why.strerror or type(why).__name__,
                directory=self._config.directory,
                hint="vcond must be in FreeSWITCH's group (step 2 of: vcond setup freeswitch); run: vcond check",
            )

    def once(self, tap: Tap, code: str, text: str) -> None:
        """A warning in the record; more of the same say nothing."""
        if tap.state.first(code):
            tap.leg.warn(self._host.clock.now(), code, text)

    def _seldom(self, text: str, **more: str) -> None:
        """A line in the log, once a minute: what is wrong with one tap is often wrong with all."""
        now = self._host.clock.now()
        if now - self._said.get(text, Instant(now - MINUTE)) >= MINUTE:
            self._said[text] = now
            self._host.log.error(text, **more)
